"""Other job queues, each measured in an environment of its own by the same rules as jobyard.

Here may be imported what Python itself has, and, in a module named for a peer, that peer: these
modules run where nothing else is installed.
"""
