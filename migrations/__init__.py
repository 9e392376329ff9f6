"""The store's schema, revision by revision; applied by `penstock db upgrade`."""

from pathlib import Path


def newest() -> str:
    """The revision that this build's `penstock db upgrade` leads to.

    Each file in ``versions`` begins with its revision, and they follow one another in that order.
    """
    found = Path(__file__).with_name("versions").glob("[0-9]*_*.py")
    return max(file.name.partition("_")[0] for file in found)
