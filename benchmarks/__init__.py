"""How fast jobyard is: `python -m benchmarks` runs the works and prints a table.

Each figure is measured in a process of its own, in rounds that take turns, so that what disturbs
the machine disturbs all of them; a ratio compares figures of the same round. Every figure of
processing proves that each job ran exactly once.
"""
