"""A workflow's thread: one piece at a time, and a sign when there was none for a while."""

import threading

from listener.threads import Worker


def test_pieces_run_in_order_in_one_thread_and_their_results_come_back() -> None:
    worker, results, done = Worker("test"), [], threading.Event()
    for n in range(3):
        worker.submit(lambda n=n: (n, threading.current_thread().name), results.append)
    worker.submit(lambda: None, lambda _: done.set())
    assert done.wait(5)
    worker.stop(5)
    assert results == [(0, "test"), (1, "test"), (2, "test")]


def test_after_a_while_without_work_it_says_so_once_and_goes_on() -> None:
    idle = []
    said = threading.Event()
    worker = Worker("test", on_idle=lambda: (idle.append(1), said.set()), idle_after=0.01)
    worker.submit(lambda: None, lambda _: None)
    assert said.wait(5)
    again = threading.Event()
    worker.submit(again.set, lambda _: None)
    assert again.wait(5)
    worker.stop(5)
    assert 1 <= len(idle) <= 2
