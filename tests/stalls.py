"""What a busy machine takes from a test that measures time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

NAP_S = 0.005


@contextmanager
def stalls() -> Iterator[Callable[[], float]]:
    """Yield a reading, in seconds: by how much a thread that only naps has been woken too late.

    The scheduler and the garbage collector hold that thread up as they do the code under test;
    an event loop that its own code blocks does not.
    """
    lost_s = 0.0
    over = threading.Event()

    def nap() -> None:
        nonlocal lost_s
        began_s = time.monotonic()
        while not over.wait(NAP_S):
            ended_s = time.monotonic()
            lost_s += max(0.0, ended_s - began_s - 2 * NAP_S)
            began_s = ended_s

    thread = threading.Thread(target=nap, daemon=True)
    thread.start()
    try:
        yield lambda: lost_s
    finally:
        over.set()
        thread.join()
