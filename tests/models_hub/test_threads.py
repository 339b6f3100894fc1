"""The number of threads of torch's operations is changed for one thread and for no other."""

import threading

import pytest
import torch
from articulate.models_hub.threads import one_thread, threads_are_separate, usable_threads, use_threads_here

pytestmark = pytest.mark.skipif(not threads_are_separate(), reason="torch was built without OpenMP")


@pytest.fixture
def three():
    """This thread and those that start later have three threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def in_new_thread(call):
    results = []
    thread = threading.Thread(target=lambda: results.append(call()))
    thread.start()
    thread.join()
    return results[0]


def test_one_thread_here_and_three_everywhere_else(three):
    with one_thread():
        assert torch.get_num_threads() == 1
        assert in_new_thread(torch.get_num_threads) == usable_threads() == 3
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_another_thread_may_have_its_own_number(three):
    def work():
        use_threads_here(2)
        return torch.get_num_threads()

    assert in_new_thread(work) == 2
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_an_error_puts_it_back_and_functions_can_be_decorated(three):
    @one_thread()
    def fail():
        assert torch.get_num_threads() == 1
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
    assert torch.get_num_threads() == usable_threads() == 3


def test_many_threads_at_once_leave_the_rest_alone(three):
    threads = [threading.Thread(target=use_threads_here, args=(1 + number % 2,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.get_num_threads() == usable_threads() == 3
