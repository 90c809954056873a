"""Other job queues, each measured in an environment of its own by the same rules as jobyard.

Here may be imported what Python itself has, and, in a module named for a peer, that peer: these
modules run where nothing else is installed. Peers for Node have the same parts in JavaScript, file
by file, and talk with the process that conducts the comparison in the same lines.
"""
