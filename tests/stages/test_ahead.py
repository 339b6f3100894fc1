"""Making ahead: order, bounds, errors, the end of all threads, and that the host's settings stay."""

import contextvars
import signal
import subprocess
import sys
import threading
import time
import weakref
from _thread import interrupt_main

import pytest
import torch
from articulate.models_hub.stages import ahead
from articulate.models_hub.stages.ahead import HELD, MOST_WORKERS, Once, made_ahead, worker_count
from articulate.models_hub.threads import threads_are_separate


def workers_alive() -> int:
    return sum(thread.name.startswith("articulate") for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def nothing_is_left():
    yield
    assert workers_alive() == 0


def parts(lengths, begun=None, seconds=0.0):
    """Parts that give (part, item); the first ones take longest."""

    def part(number, length):
        if begun is not None:
            begun.append(number)
        time.sleep(seconds * (len(lengths) - number))
        for item in range(length):
            yield number, item

    return (part(number, length) for number, length in enumerate(lengths))


@pytest.mark.parametrize("workers", [0, 1, 2, 5])
@pytest.mark.parametrize("lengths", [[], [0], [1] * 9, [0, 1, 2, 3, 4, 0, 7], [2 * HELD] * 3])
def test_the_order_is_that_of_one_after_the_other(workers, lengths):
    expected = [(number, item) for number, length in enumerate(lengths) for item in range(length)]
    assert list(made_ahead(parts(lengths, seconds=0.003), workers)) == expected


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_so_much_is_made_ahead_and_no_more(workers):
    begun = []
    for done, _ in enumerate(made_ahead(parts([1] * 30, begun), workers)):
        time.sleep(0.01)
        assert len(begun) <= done + 1 + max(workers + 1, HELD + 1)
        if done == 5:
            assert len(begun) > done + 1  # something was made meanwhile
    assert sorted(begun) == list(range(30))


class Chunk:
    """Something large."""


@pytest.mark.parametrize("workers", [1, 2, 4])
@pytest.mark.parametrize("length", [1, 9])
def test_few_items_are_alive(workers, length):
    alive, most = weakref.WeakSet(), 0

    def part():
        for _ in range(length):
            chunk = Chunk()
            alive.add(chunk)
            yield chunk
            del chunk

    items = made_ahead((part() for _ in range(20)), workers)
    for item in items:
        del item
        time.sleep(0.005)
        most = max(most, len(alive))
    assert most <= (workers + 2) * min(length, HELD) + 1


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_an_error_comes_after_the_items_before_it(workers):
    error, seen = ValueError("the third item of the second part"), []

    def failing():
        yield from (3, 4)
        raise error

    with pytest.raises(ValueError) as raised:
        for item in made_ahead(iter([[1, 2], failing(), [5]]), workers):
            seen.append(item)
    assert raised.value is error and seen == [1, 2, 3, 4]


@pytest.mark.parametrize("workers", [1, 3])
def test_closing_early_ends_the_workers_and_drops_the_rest(workers):
    begun = []
    items = made_ahead(parts([1] * 100, begun, 0.0005), workers)
    assert next(items) == (0, 0) and workers_alive() > 0
    items.close()
    assert workers_alive() == 0 and len(begun) <= workers + 3
    made_ahead(parts([1]), workers).close()  # before the first item


@pytest.mark.parametrize("workers", [1, 2])
def test_an_interrupted_wait_ends_the_workers(workers):
    pressed = threading.Lock()  # once: a second Ctrl-C ends the waiting for the workers, too

    def part():
        if pressed.acquire(blocking=False):
            time.sleep(0.1)
            interrupt_main()  # as Ctrl-C while the first frame is waited for
        time.sleep(0.3)
        yield 1

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a test run in the background
    try:
        with pytest.raises(KeyboardInterrupt):
            list(made_ahead((part() for _ in range(50)), workers))
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_program_may_end_while_something_is_made_ahead(workers):
    program = (
        "from articulate.models_hub.stages.ahead import made_ahead\n"
        f"items = made_ahead(([number] for number in range(1000)), {workers})\n"
        "print(next(items))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 0)


@pytest.mark.skipif(not threads_are_separate(), reason="torch was built without OpenMP")
@pytest.mark.parametrize("workers", [1, 2])
def test_operations_of_workers_run_in_one_thread_and_the_host_keeps_its_own(workers):
    def numbers():
        yield torch.get_num_threads()

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert list(made_ahead((numbers() for _ in range(6)), workers)) == [1] * 6
        assert torch.get_num_threads() == 3
        later = []
        thread = threading.Thread(target=lambda: later.append(torch.get_num_threads()))
        thread.start()
        thread.join()
        assert later == [3]
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_find_the_callers_modes_and_context(workers):
    variable = contextvars.ContextVar("variable", default=0)

    def modes():
        yield torch.is_inference_mode_enabled(), torch.is_grad_enabled(), variable.get()

    variable.set(7)
    for inference in (False, True):
        for grad in (False, True):
            with torch.inference_mode(inference), torch.set_grad_enabled(grad):
                assert set(made_ahead((modes() for _ in range(4)), workers)) == {(inference, grad, 7)}


def test_the_number_of_workers(monkeypatch):
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert (worker_count(gpu), worker_count(gpu, alone=False)) == (1, 0)
    for threads, expected in ((1, 0), (2, 2), (MOST_WORKERS, MOST_WORKERS), (64, MOST_WORKERS)):
        monkeypatch.setattr(ahead, "usable_threads", lambda threads=threads: threads)
        monkeypatch.setattr(ahead, "threads_are_separate", lambda: True)
        assert worker_count(cpu) == worker_count(cpu, alone=False) == expected
    monkeypatch.setattr(ahead, "threads_are_separate", lambda: False)
    assert worker_count(cpu) == 1


def test_a_value_is_made_once_by_whoever_asks_first():
    made = []

    def make():
        time.sleep(0.02)
        made.append(len(made))
        if len(made) == 1:
            raise ZeroDivisionError
        return "value"

    once = Once(make)
    with pytest.raises(ZeroDivisionError):
        once()
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(once())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == ["value"] * 4 and len(made) == 2
