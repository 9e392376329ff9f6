"""Syncer: makes what was appended survive a power loss, many appends a call.

One thread calls fdatasync: at least every ``every_s`` seconds while something was appended, and
at once when somebody waits. A call covers everything appended before it began (group commit).
"""

import asyncio
import os
import threading
from contextlib import suppress
from pathlib import Path

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[None]"]


class Syncer:
    """Owns the descriptors of a directory's segments; the last one followed is being written."""

    def __init__(self, directory: Path, every_s: float) -> None:
        self.dirty = False  # set after each append
        self.failures = 0
        self._directory = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        self._every_s = every_s
        self._files: list[int] = []
        self._named = False
        self._waiters: list[_Waiter] = []
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="spool-sync", daemon=True)
        self._thread.start()

    def follow(self, file: int) -> None:
        """Take over a new segment; the one before it is synchronised once more and closed."""
        with self._lock:
            self._files.append(file)
            self._named = True

    async def durable(self) -> None:
        """Return when all that was appended is on the disk; raises ``OSError`` if it is not."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[None] = loop.create_future()
        with self._lock:
            self._waiters.append((loop, done))
        self._wake.set()
        await done

    def name(self) -> None:
        """Return when the names of all segments so far are on the disk; raises ``OSError``."""
        os.fsync(self._directory)

    def close(self) -> None:
        """Synchronise once more, and close every descriptor."""
        self._stopping = True
        self._wake.set()
        self._thread.join()
        self._sync()
        for file in (*self._files, self._directory):
            os.close(file)

    def _run(self) -> None:
        while not self._stopping:
            self._wake.wait(self._every_s)
            self._wake.clear()
            self._sync()

    def _sync(self) -> None:
        with self._lock:
            waiters, self._waiters = self._waiters, []
            files, named, self._named = list(self._files), self._named, False
            dirty, self.dirty = self.dirty, False
        error: OSError | None = None
        try:
            if dirty or named:
                self._flush(files, named)
        except OSError as failure:
            error, self.failures, self.dirty = failure, self.failures + 1, True
        for loop, done in waiters:
            with suppress(RuntimeError):  # the loop of a waiter that is gone is closed
                loop.call_soon_threadsafe(_settle, done, error)

    def _flush(self, files: list[int], named: bool) -> None:
        for file in files:
            os.fdatasync(file)
        if named:
            os.fsync(self._directory)
        with self._lock:
            self._files = self._files[len(files) - 1 :]
        for file in files[:-1]:
            os.close(file)


def _settle(done: "asyncio.Future[None]", error: OSError | None) -> None:
    if done.done():
        return
    if error is None:
        done.set_result(None)
    else:
        done.set_exception(error)
