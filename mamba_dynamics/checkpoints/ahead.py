"""Layers read ahead: while one is judged, a thread reads the next."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def reading_ahead(read: Callable[[int], T], indices: Sequence[int]) -> Iterator[Callable[[], T]]:
    """Within, what is yielded returns `read` of one index after the other, or raises what that raised.

    The one that comes next is read while the caller is busy with the one before, so two are in memory at a time. Left
    by an error (Ctrl-C among them), it does not wait for what is being read. `IndexError` where all have been taken.
    """
    left = len(indices)
    waiting: list[tuple[T | None, BaseException | None]] = []
    ready, room, ended = threading.Semaphore(0), threading.Semaphore(1), threading.Event()

    def run() -> None:
        for index in indices:
            room.acquire()
            if ended.is_set():
                return
            try:
                waiting.append((read(index), None))
            except BaseException as error:  # raised where it is asked for
                waiting.append((None, error))
            ready.release()

    def take() -> T:
        nonlocal left
        if not left:
            raise IndexError(f"all {len(indices)} have been taken")
        left -= 1
        ready.acquire()
        found, error = waiting.pop()
        room.release()
        if error is not None:
            raise error
        return found  # type: ignore[return-value]

    thread = threading.Thread(target=run, name="reading ahead", daemon=True)
    thread.start()
    try:
        yield take
    finally:
        ended.set()
        room.release()
    thread.join()
