"""A yard in this process's memory: the contract made executable, and nothing kept.

`MemoryBackend` serves `memory://`, for tests and for trying things out. `Engine` is what it is
made of, without event loop, clock or I/O: a backend that keeps a `Yard` elsewhere may use it, too.
"""

from jobyard.memory.backend import MemoryBackend
from jobyard.memory.engine import Engine
from jobyard.memory.yard import Yard

__all__ = ["Engine", "MemoryBackend", "Yard"]
