"""Making ahead: parts of a stream are made by workers, in order, while what came before them is encoded.

Chunks of a stream can be asked for independently, so they are the unit of work: each is made by one thread, from
landmarks to finished frames. Spreading every operation over all threads instead costs more waiting than it saves.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import nullcontext
from contextvars import copy_context
from itertools import chain, islice
from typing import Any, Generic, TypeVar

import torch

from ..threads import threads_are_separate, usable_threads, use_threads_here

T = TypeVar("T")

MOST_WORKERS = 6
"""More would wait for the encoder: making a frame takes about five times as long as encoding it."""

HELD = 2
"""Items of one part, or of one worker, that wait for their turn, at most."""

PATIENCE = 0.5  # seconds; on Windows nobody can interrupt a wait without an end
END = object()


def worker_count(device: torch.device, alone: bool = True) -> int:
    """How many workers make frames ahead; 0 means that whoever asks for frames makes them.

    Args:
        device: where the networks run. On a processor each thread that may be used is a worker, but one alone would
            gain nothing. Any other device works beside the processor, and one worker keeps it busy.
        alone: whether nobody else runs networks meanwhile. On a GPU a host that loads a network may move away another
            one, which must not be running in another thread then.
    """
    if device.type != "cpu":
        return 1 if alone else 0
    threads = usable_threads()
    if threads == 1:
        return 0
    return min(threads, MOST_WORKERS) if threads_are_separate() else 1


def made_ahead(parts: Iterable[Iterable[T]], workers: int) -> Iterator[T]:
    """All items of all parts in order, made by workers before they are asked for.

    Operations of torch run in the worker's thread alone. For the rest a worker finds what the caller's thread has:
    autograd's mode, the current GPU, context variables. When this generator is closed, or the caller interrupted,
    work that is not begun is dropped, and the workers have ended before it returns.

    Args:
        parts: several workers make one part each, and are at most `workers` + 1 parts and `HELD` items of a part
            ahead. One worker goes through the parts in order, `HELD` items ahead.
        workers: see `worker_count`; with 0 everything is made here, when it is asked for.

    Raises:
        BaseException: what a part raised, after the items before it.
    """
    if workers < 1:
        yield from chain.from_iterable(parts)
        return
    pool = ThreadPoolExecutor(workers, "articulate-ahead", initializer=use_threads_here, initargs=(1,))
    try:
        yield from _by_one(parts, pool) if workers == 1 else _by_several(parts, pool, workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _by_one(parts: Iterable[Iterable[T]], pool: ThreadPoolExecutor) -> Iterator[T]:
    items, take = chain.from_iterable(parts), _as_here(next)
    coming = deque(pool.submit(take, items, END) for _ in range(HELD))
    while (item := _result(coming.popleft())) is not END:
        coming.append(pool.submit(take, items, END))
        yield item
        del item  # else it would stay while the next one is waited for


def _by_several(parts: Iterable[Iterable[T]], pool: ThreadPoolExecutor, workers: int) -> Iterator[T]:
    parts, take = map(iter, parts), _as_here(lambda part: deque(islice(part, HELD)))
    coming: deque[tuple[Iterator[T], Future]] = deque()

    def begin() -> None:
        while len(coming) <= workers and (part := next(parts, None)) is not None:
            coming.append((part, pool.submit(take, part)))

    begin()
    while coming:
        part, future = coming.popleft()
        items = _result(future)
        del future  # it holds the items, too
        if len(items) == HELD:  # there may be more
            coming.appendleft((part, pool.submit(take, part)))
        begin()
        while items:
            yield items.popleft()


def _result(future: Future) -> Any:
    while not wait([future], PATIENCE).done:
        pass
    return future.result()


def _as_here(call: Callable[..., T]) -> Callable[..., T]:
    """A function that runs in any thread as it would in this one: with its modes, GPU and context variables."""
    context, inference, grad = copy_context(), torch.is_inference_mode_enabled(), torch.is_grad_enabled()
    gpu = torch.cuda.current_device() if torch.cuda.is_initialized() else None

    def called(*arguments: Any) -> T:
        with (
            nullcontext() if gpu is None else torch.cuda.device(gpu),
            torch.inference_mode(inference),
            torch.set_grad_enabled(grad),
        ):
            return context.copy().run(call, *arguments)

    return called


class Once(Generic[T]):
    """A value that whoever asks first makes, and all others wait for.

    Args:
        make: makes it. If it raises, the next one to ask makes it anew.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make, self._value, self._lock = make, None, threading.Lock()
        self._made = False

    def __call__(self) -> T:
        with self._lock:
            if not self._made:
                self._value, self._made = self._make(), True
            return self._value
