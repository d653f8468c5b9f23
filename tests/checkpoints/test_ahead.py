"""Layers read ahead: in order, one at a time before they are asked for, errors where they are asked for."""

import threading
import time

import pytest

from mamba_dynamics.checkpoints.ahead import reading_ahead


def waited_for(condition) -> bool:
    """Whether it holds within ten seconds."""
    end = time.monotonic() + 10
    while not condition() and time.monotonic() < end:
        time.sleep(0.001)
    return condition()


def test_one_is_read_before_it_is_asked_for_and_no_more():
    begun = []

    def read(index):
        begun.append(index)
        return 10 * index

    with reading_ahead(read, [3, 1, 2]) as take:
        for done, index in enumerate([3, 1, 2], 1):
            assert waited_for(lambda done=done: len(begun) == done)
            time.sleep(0.02)
            assert len(begun) == done, "the next waits until this one is taken"
            assert take() == 10 * index
    assert begun == [3, 1, 2]


def test_an_error_is_raised_where_its_layer_is_asked_for_and_the_rest_goes_on():
    def read(index):
        if index == 1:
            raise ValueError("no layer 1")
        return index

    with reading_ahead(read, range(3)) as take:
        assert take() == 0
        with pytest.raises(ValueError, match="no layer 1"):
            take()
        assert take() == 2


@pytest.mark.parametrize("taken", [0, 1])
def test_leaving_early_ends_the_thread(taken):
    begun, before = [], threading.active_count()
    with reading_ahead(begun.append, range(100)) as take:
        for _ in range(taken):
            take()
    assert threading.active_count() == before
    assert len(begun) <= taken + 1


def test_leaving_by_an_error_does_not_wait_and_ends_the_thread():
    before, reading, may_end = threading.active_count(), threading.Event(), threading.Event()

    def read(index):
        reading.set()
        assert may_end.wait(10)
        return index

    def interrupted():
        assert reading.wait(10)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), reading_ahead(read, range(100)):
        interrupted()
    assert threading.active_count() == before + 1, "it is still reading"
    may_end.set()
    assert waited_for(lambda: threading.active_count() == before)


def test_asking_for_more_than_there_are_is_an_error():
    with reading_ahead(lambda index: index, [5]) as take:
        assert take() == 5
        with pytest.raises(IndexError, match="all 1 have been taken"):
            take()
