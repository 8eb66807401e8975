"""Files mapped into memory: what a process writes there outlives it, and reaches other processes."""

import mmap
import os

__all__ = ["map_file"]


def map_file(descriptor: int, length: int) -> mmap.mmap:
    """The first `length` bytes of a file that is open for reading and writing; zeros where it is shorter.

    They are written first. In a file that only got its length by a call, a page has no room on the disk until somebody
    writes there, and if the disk is full in that moment the system kills the process (SIGBUS). Raises OSError.
    """
    lacking = length - os.fstat(descriptor).st_size
    if lacking > 0:
        with open(descriptor, "rb+", closefd=False) as file:
            file.seek(0, os.SEEK_END)
            file.write(bytes(lacking))
    return mmap.mmap(descriptor, length)
