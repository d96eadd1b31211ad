"""Has small decompositions done on one core, where torch gives each thread several.

One takes some milliseconds there. On several cores that other processes use too, the threads' waiting for each other
took a hundred times as long (docs/why.md).
"""

from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event

import torch


@contextmanager
def one_core() -> Iterator[Executor]:
    """A thread that has the block's work done on one core, whatever torch gives other threads.

    torch.set_num_threads counts for the calling thread, and for those that begin afterwards.
    """
    threads, begun = torch.get_num_threads(), Event()

    def begin() -> None:
        torch.get_num_threads()  # or the thread's first product would take over the number of all
        torch.set_num_threads(1)
        begun.set()

    with ThreadPoolExecutor(1, initializer=begin) as executor:
        executor.submit(begun.wait)
        begun.wait()
        torch.set_num_threads(threads)
        yield executor
