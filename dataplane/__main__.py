"""`python -m dataplane`: one data plane process, from its configuration to its drained spool."""

import argparse
import asyncio
import logging
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import uvicorn
import uvloop

from dataplane.contract.address import Address
from dataplane.contract.configuration import FILE, load
from dataplane.contract.errors import OperatorError
from dataplane.heads import BoundedHeads
from dataplane.settings import Plane, build, start_policy
from dataplane.tiers.base import TierUnusableError

GRACE_S = 10  # for answers under way when we are told to stop
DRAIN_S = 5.0  # for records that the database has not got yet; the rest waits in the spool
BACKLOG = 2048
FILES = 65_536  # open at most, connections among them
KEEP_ALIVE_S = 75  # longer than clients and load balancers hold a connection to use again

log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Stops on SIGTERM and SIGINT, and lets the process end in its own time."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self.should_exit = True


async def serve(plane: Plane, listening: socket.socket) -> None:
    """Run until told to stop; raises ``TierUnusableError`` if a tier cannot start."""
    async with _running(plane):
        config = uvicorn.Config(
            plane.app,
            loop="uvloop",
            http=BoundedHeads,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=BACKLOG,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=GRACE_S,
        )
        host, port = listening.getsockname()[:2]
        log.info("listening on %s", Address(host, port).url)
        await _Server(config).serve(sockets=[listening])


@asynccontextmanager
async def _running(plane: Plane) -> AsyncIterator[None]:
    """Start the parts in the order of need, stop them in reverse."""
    async with AsyncExitStack() as stack:
        stack.push_async_callback(plane.recorder.stop, DRAIN_S)
        stack.callback(plane.budgets.keep)
        for guarded in plane.tiers.values():
            stack.push_async_callback(guarded.tier.close)
            await guarded.tier.start()
        await plane.recorder.start()
        plane.feed.start()
        stack.push_async_callback(plane.feed.stop)
        yield


def hold_many() -> None:
    """As many connections as we may, up to ``FILES``: the usual limit of 1,024 is soft."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(hard, FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def listen(address: Address) -> socket.socket:
    """A bound socket; raises ``OperatorError``."""
    address.check_free()
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    bound.bind((address.host, address.port))
    return bound


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; 0 after an orderly end, 2 where the operator has to mend something."""
    parser = argparse.ArgumentParser(prog="python -m dataplane", description=__doc__)
    parser.add_argument("--config", type=Path, default=Path(FILE))
    parser.add_argument("--start-policy", type=Path, help="decides until a policy is published")
    given = parser.parse_args(arguments)
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="dataplane: %(levelname)s %(message)s"
    )
    try:
        configuration = load(given.config)
        start = start_policy(given.start_policy)
        hold_many()
        with listen(configuration.listen) as listening:
            uvloop.run(serve(build(configuration, start), listening))
    except (OperatorError, TierUnusableError) as error:
        print(error, file=sys.stderr)  # noqa: T201 - the command's own voice
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
