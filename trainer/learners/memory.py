"""Gives memory that nothing holds back to the system.

The embedded stack tells glibc to keep what is freed (lift/stack/programs.py), since fresh pages for every buffer cost a
tenth of a step and more. Buffers of ever other sizes leave gaps, though, and the process would grow without end.
"""

import ctypes


def give_back() -> None:
    """The pages in the gaps; nothing where the C library is not glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim:
        trim(0)
