"""The embedded demo: a tiny trained model, its tasks, and the stand-ins that surround it.

Everything here but the model is SIMULATED traffic and a SIMULATED provider; the model is real.
"""

from importlib.resources import files
from pathlib import Path

MODEL_PATH = Path(str(files(__package__))) / "model" / "penstock-sandbox.gguf"
"""The shipped weights."""


def model_sha256() -> str:
    """SHA-256 that the shipped weights must have, from the file beside them."""
    return MODEL_PATH.with_name(f"{MODEL_PATH.name}.sha256").read_text().split()[0]
