"""The GGUF file: present, whole enough to be one, and the one that was pinned."""

import hashlib
import hmac
from pathlib import Path

from dataplane.contract.errors import OperatorError

MAGIC = b"GGUF"  # the first bytes of the format


class ModelError(OperatorError):
    """The model cannot be served; the text is one line that names the file and the remedy."""


def verify(path: Path, sha256: str | None) -> str:
    """The file's SHA-256, as 64 hex digits; `sha256` is the pinned one, None pins nothing.

    Raises `ModelError` if the file cannot be read, is no GGUF or is not the pinned one.
    """
    try:
        with path.open("rb") as file:
            magic = file.read(len(MAGIC))
            file.seek(0)
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(
            f"model {path}: {error.strerror}; give the path of a readable GGUF file"
        ) from error
    if magic != MAGIC:
        raise ModelError(f"model {path}: no GGUF file; convert it, or download it again")
    if sha256 is not None and not hmac.compare_digest(found, sha256.lower()):
        raise ModelError(
            f"model {path}: SHA-256 is {found}, pinned is {sha256.lower()}; "
            "restore the pinned file, or pin the new one if you trust it"
        )
    return found
