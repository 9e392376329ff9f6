"""Parts: the processes that a command starts, waits for, watches and stops, each by its own id."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import httpx

from dataplane.contract.errors import OperatorError

POLL_S = 0.05
STOP_S = 15.0
TAIL_BYTES = 4096
VISIBLE = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TMPDIR", "TZ", "LD_LIBRARY_PATH")
VISIBLE_PREFIXES = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_", "XDG_")


class PartFailedError(OperatorError):
    """A part ended, or never answered: one line with its last words and where its log is."""


@dataclass(frozen=True, slots=True)
class Program:
    """A module to run as ``python -m``; ready once ``ready_url`` answers 2xx, or at once."""

    name: str
    module: str
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_url: str | None = None
    deadline_s: float = 60.0

    @property
    def command(self) -> list[str]:
        """The command line."""
        return [sys.executable, "-m", self.module, *self.arguments]


class Part:
    """A running program. Standard error goes to ``log``, and so does output nobody reads."""

    def __init__(self, program: Program, process: subprocess.Popen[bytes], log: Path) -> None:
        self.name = program.name
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def lines(self) -> IO[bytes]:
        """Its standard output; only where it was asked for."""
        assert self._process.stdout is not None
        return self._process.stdout

    @property
    def ended(self) -> bool:
        """Whether it has."""
        return self._process.poll() is not None

    def check(self) -> None:
        """Raises `PartFailedError` if it has ended."""
        code = self._process.poll()
        if code is not None:
            raise PartFailedError(f"{self.name} ended with code {code}: {self.last_words()}")

    def wait(self, deadline_s: float) -> None:
        """Until it ends well by itself; raises `PartFailedError` if it does not."""
        try:
            code = self._process.wait(deadline_s)
        except subprocess.TimeoutExpired:
            raise PartFailedError(
                f"{self.name} did not end within {deadline_s:g} s; see {self.log}"
            ) from None
        if code not in (0, -15):
            raise PartFailedError(f"{self.name} ended with code {code}: {self.last_words()}")

    def ask(self, task: bytes, deadline_s: float) -> bytes:
        """Hand it a task, and return all that it says; raises `PartFailedError`."""
        try:
            said, _ = self._process.communicate(task, deadline_s)
        except subprocess.TimeoutExpired:
            raise PartFailedError(
                f"{self.name} did not end within {deadline_s:g} s; see {self.log}"
            ) from None
        if self._process.returncode:
            self.check()
        return said

    def terminate(self) -> None:
        """Ask it to end; it may take its time."""
        self._process.terminate()

    def stop(self) -> None:
        """End it, politely at first."""
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def last_words(self) -> str:
        """The last line of its log, and where the rest is."""
        tail = self.log.read_bytes()[-TAIL_BYTES:].decode(errors="replace")
        said = [line.strip() for line in tail.splitlines() if line.strip()]
        return f"{said[-1] if said else 'it said nothing'} (see {self.log})"


@contextmanager
def running(program: Program, logs: Path, *, piped: bool = False) -> Iterator[Part]:
    """Start a program, wait until it is ready, and stop it at the end.

    ``piped``: its standard output is for the caller to read, by ``Part.lines``. It holds the
    reading end of a pipe of ours as standard input, so that it can tell when we are gone, and is
    in a session of its own, so that a Ctrl-C reaches us alone and parts stop in order.
    Raises `PartFailedError`.
    """
    part = _start(program, logs, piped=piped)
    try:
        _await_ready(program, part)
        yield part
    finally:
        part.stop()


def _start(program: Program, logs: Path, *, piped: bool) -> Part:
    logs.mkdir(parents=True, exist_ok=True)
    log = logs / f"{program.name.replace(' ', '-')}.log"
    with log.open("ab") as words:
        process = subprocess.Popen(  # noqa: S603 - our own modules
            program.command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if piped else words,
            stderr=words,
            env={**_importing(), **program.environment},
            start_new_session=True,
        )
    return Part(program, process, log)


def _await_ready(program: Program, part: Part) -> None:
    deadline = time.monotonic() + program.deadline_s
    while program.ready_url is not None and not answers(program.ready_url):
        part.check()
        if time.monotonic() > deadline:
            raise PartFailedError(
                f"{part.name} gave no answer within {program.deadline_s:g} s: {part.last_words()}"
            )
        time.sleep(POLL_S)


def stop_like_ctrl_c() -> None:
    """From now on SIGTERM and SIGHUP unwind this process as Ctrl-C does: parts are stopped."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)


def answers(url: str) -> bool:
    """Whether a GET of this URL succeeds."""
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def sheltered() -> dict[str, str]:
    """What a part sees of our environment where no exported key or address may reach it."""
    return {
        name: value
        for name, value in os.environ.items()
        if name in VISIBLE or name.startswith(VISIBLE_PREFIXES)
    }


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nobody listens on, all different."""
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


def _importing() -> dict[str, str]:
    """The child imports what we import, wherever it is started."""
    return {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def result(program: Program, logs: Path, task: bytes, deadline_s: float) -> bytes:
    """What a program that reads a task and ends has to say; raises `PartFailedError`."""
    part = _start(program, logs, piped=True)
    try:
        return part.ask(task, deadline_s)
    finally:
        part.stop()
