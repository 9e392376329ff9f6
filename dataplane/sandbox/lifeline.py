"""A stand-in ends when whoever started it does: it holds the reading end of their pipe."""

import argparse
import os
import signal
import sys
import threading


def add_option(parser: argparse.ArgumentParser) -> None:
    """``--watch-stdin``, for a parent that keeps the writing end open as long as it lives."""
    parser.add_argument("--watch-stdin", action="store_true", help="end when stdin closes")


def end_with_stdin() -> None:
    """From now on, the end of standard input is a SIGTERM to this process."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
