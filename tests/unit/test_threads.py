"""A workflow's thread: one piece at a time, and a sign when there was none for a while."""

import threading

from listener.threads import RightOfWay, Worker


def test_pieces_run_in_order_in_the_one_thread() -> None:
    worker, results, done = Worker("test"), [], threading.Event()
    for n in range(3):
        worker.submit(lambda n=n: results.append((n, threading.current_thread().name)))
    worker.submit(done.set)
    assert done.wait(5)
    worker.stop(5)
    assert results == [(0, "test"), (1, "test"), (2, "test")]


def test_after_a_while_without_work_it_says_so_once_and_goes_on() -> None:
    idle, said, again = [], threading.Event(), threading.Event()
    worker = Worker("test", on_idle=lambda: (idle.append(1), said.set()), idle_after=0.01)
    worker.submit(lambda: None)
    assert said.wait(5)
    worker.submit(again.set)
    assert again.wait(5)
    worker.stop(5)
    assert 1 <= len(idle) <= 2


def test_who_computes_gives_way_for_a_moment_and_not_for_ever() -> None:
    way, passed = RightOfWay(), []
    way.give_way()  # nobody has taken it: there is nothing to wait for
    way.take()
    way.give_way()  # nobody gives it back: and yet it ends

    def compute() -> None:
        way.give_way()
        passed.append(True)

    computing = threading.Thread(target=compute)
    computing.start()
    way.give_back()
    computing.join(5)
    assert passed == [True]
