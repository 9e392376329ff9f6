"""The engine as a child process: started, stopped, and never left behind."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import dataplane

_LAST_WORDS_BYTES = 4096
_VISIBLE = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_VISIBLE_PREFIXES = ("CUDA_", "NVIDIA_", "HIP_", "ROCR_", "GGML_")


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """How to run the engine; `python -m dataplane.engine --help` says more.

    `sha256` is the pinned hash of the model, None accepts any file.
    """

    model: Path
    sha256: str | None
    context: int = 2048
    slots: int = 4
    queue: int = 64
    batch: int = 512
    threads: int = 1
    gpu_layers: int = 0

    def command(self, name: str, socket: Path) -> list[str]:
        """The engine's command line."""
        values = {
            "model": self.model,
            "sha256": self.sha256 or "none",
            "socket": socket,
            "name": name,
            "context": self.context,
            "slots": self.slots,
            "queue": self.queue,
            "batch": self.batch,
            "threads": self.threads,
            "gpu-layers": self.gpu_layers,
        }
        flags = [f"--{key}={value}" for key, value in values.items()]
        return [sys.executable, "-m", "dataplane.engine", *flags, "--watch-stdin"]


class EngineProcess:
    """One run of the engine, in a process group of its own, its stderr appended to `log`.

    It holds the reading end of a pipe of ours and ends when that closes: also if we are killed.
    """

    def __init__(self, process: Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def launch(
        cls, options: EngineOptions, name: str, socket: Path, log: Path
    ) -> "EngineProcess":
        """Start the engine at `socket`, which nobody else may use."""
        descriptor = _prepare(socket, log)
        try:
            process = await asyncio.create_subprocess_exec(
                *options.command(name, socket),
                stdin=PIPE,
                stdout=DEVNULL,
                stderr=descriptor,
                env=_environment(),
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        return cls(process, log)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; minus the signal that killed it."""
        return self._process.returncode

    async def ended(self) -> None:
        """Wait until it has ended."""
        await self._process.wait()

    async def ends_within(self, seconds: float) -> bool:
        """Wait for its end, but not longer."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.ended()
        return self.exit_code is not None

    async def stop(self, grace_s: float) -> None:
        """End it, politely at first: after `grace_s` it is killed."""
        with suppress(ProcessLookupError):
            self._process.terminate()
        if not await self.ends_within(grace_s):
            self._kill()
            await self.ended()
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _kill(self) -> None:
        with suppress(ProcessLookupError):
            self._process.kill()

    def last_words(self) -> str:
        """The one line in which the engine said why it cannot serve, or where to look."""
        tail = self._log.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace")
        said = [line for line in tail.splitlines() if line.startswith("penstock engine: ")]
        if self.exit_code == 2 and said:
            return said[-1]
        return f"penstock engine: ended with code {self.exit_code}; see {self._log}"


def _prepare(socket: Path, log: Path) -> int:
    """Clear the socket a killed engine left, and open the log."""
    socket.unlink(missing_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    return os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def _environment() -> dict[str, str]:
    """What the engine sees of ours: no key and no database address."""
    visible = {
        name: value
        for name, value in os.environ.items()
        if name in _VISIBLE or name.startswith(_VISIBLE_PREFIXES)
    }
    return {**visible, "PYTHONPATH": str(Path(dataplane.__path__[0]).parent)}
