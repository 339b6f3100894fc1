"""How many threads an operation of torch is spread over, changed for one thread of the process and no other.

`torch.set_num_threads` sets the number for the thread that calls it, and what threads get that start later. The
second is a matter of the whole process, which may be a host with other work to do: here it is put back at once.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

T = TypeVar("T")

_changing = threading.Lock()


def usable_threads() -> int:
    """Threads that an operation is spread over in a thread that starts now.

    As many as the processors that this process may use, unless `torch.set_num_threads` or OMP_NUM_THREADS say
    otherwise. The calling thread itself may have another number (see `one_thread`).
    """
    return _in_new_thread(torch.get_num_threads)


@contextmanager
def one_thread() -> Iterator[None]:
    """Operations of the calling thread run in it alone; also a decorator.

    For small operations: waking others costs more than they help, most of all where the processors are busy. And
    sums are the same, bit by bit, however many processors there are.
    """
    before = torch.get_num_threads()
    use_threads_here(1)
    try:
        yield
    finally:
        use_threads_here(before)


def use_threads_here(count: int) -> None:
    """Spread the operations of the calling thread over `count` threads; other threads keep what they have.

    Does nothing where torch cannot tell threads apart (see `threads_are_separate`).
    """
    if torch.get_num_threads() == count or not threads_are_separate():
        return
    with _changing:
        others = usable_threads()
        torch.set_num_threads(count)
        _in_new_thread(lambda: torch.set_num_threads(others))


@lru_cache(maxsize=1)
def threads_are_separate() -> bool:
    """Whether each thread has a number of its own; so it is with OpenMP, which all official builds of torch use."""
    return "parallel backend: OpenMP" in torch.__config__.parallel_info()


def _in_new_thread(call: Callable[[], T]) -> T:
    results: list[T] = []
    thread = threading.Thread(target=lambda: results.append(call()), name="articulate-threads")
    thread.start()
    thread.join()
    return results[0]
