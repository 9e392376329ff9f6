"""`python -m dataplane.engine`: verify, load, serve."""

import argparse
import asyncio
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn
import uvloop

from dataplane.contract.weights import ModelError, verify
from dataplane.engine.chat import ChatTemplate
from dataplane.engine.llama import Context, Model
from dataplane.engine.scheduler import Scheduler
from dataplane.engine.server import App, deliver_on

_GRACE_S = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to stop; exit code 2 is a model or a socket that cannot be used."""
    options = _options(arguments)
    if options.watch_stdin:
        threading.Thread(target=_exit_with_stdin, daemon=True).start()
    try:
        pinned = None if options.sha256 == "none" else options.sha256
        verify(options.model, pinned)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(options))
    except ModelError as error:
        sys.stderr.write(f"penstock engine: {error}\n")
        return 2
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m dataplane.engine", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="path of a GGUF file")
    parser.add_argument("--sha256", required=True, help="its SHA-256, or `none` to pin nothing")
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--context", type=int, default=2048, help="tokens of prompt and answer")
    parser.add_argument("--slots", type=int, default=4, help="generations at a time")
    parser.add_argument("--queue", type=int, default=64, help="generations that may wait")
    parser.add_argument("--batch", type=int, default=512, help="tokens of one step")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument("--gpu-layers", type=int, default=0, help="layers on the GPU, -1: all")
    parser.add_argument("--name", help="the model's name (default: the file's)")
    parser.add_argument("--watch-stdin", action="store_true", help="exit when stdin closes")
    return parser.parse_args(arguments)


async def _serve(options: argparse.Namespace) -> None:
    model = Model(options.model, gpu_layers=options.gpu_layers)
    template = ChatTemplate(model)
    context = Context(
        model,
        length=min(options.context, model.trained_context),
        slots=options.slots,
        batch_tokens=options.batch,
        threads=options.threads,
    )
    loop = asyncio.get_running_loop()
    scheduler = Scheduler(context, model, queue_limit=options.queue, deliver=deliver_on(loop))
    app = App(
        scheduler,
        template,
        model=options.name or options.model.stem,
        context=context.length,
        slots=options.slots,
    )
    await _listen(app, scheduler, options.socket)


async def _listen(app: App, scheduler: Scheduler, path: Path) -> None:
    config = uvicorn.Config(
        app,
        http="httptools",
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        timeout_keep_alive=3600,
        timeout_graceful_shutdown=_GRACE_S,
    )
    server = _Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, server.stop)
    worker = threading.Thread(target=_work, args=(scheduler, server), daemon=True)
    with _bound(path) as listener:
        worker.start()
        await server.serve(sockets=[listener])
    scheduler.close()
    worker.join(_GRACE_S)


class _Server(uvicorn.Server):
    """Leaves the signals to us: uvicorn raises them again after it has stopped."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop(self) -> None:
        self.should_exit = True


def _work(scheduler: Scheduler, server: _Server) -> None:
    try:
        scheduler.run()
    finally:
        server.stop()


@contextmanager
def _bound(path: Path) -> Iterator[socket.socket]:
    """A listener at `path` that only this user may connect to."""
    with socket.socket(socket.AF_UNIX) as listener:
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise ModelError(f"socket {path}: {error}; give another --socket") from error
        finally:
            os.umask(mask)
        try:
            yield listener
        finally:
            with suppress(FileNotFoundError):
                path.unlink()


def _exit_with_stdin() -> None:
    """End when the parent does: its end of the pipe closes even if it is killed."""
    while os.read(0, 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(3 * _GRACE_S)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
