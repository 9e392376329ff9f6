"""An ASGI app, served on a thread."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

READY_S = 60.0


@contextmanager
def listening(app: FastAPI, port: int) -> Iterator[None]:
    """For as long as the context lasts."""
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until = time.monotonic() + READY_S
        while not server.started and time.monotonic() < until:
            time.sleep(0.02)
        yield
    finally:
        server.should_exit = True
        thread.join()
