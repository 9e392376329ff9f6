"""The store's schema, revision by revision; applied by `penstock db upgrade`."""

from pathlib import Path


def newest() -> str:
    """The revision that this build's `penstock db upgrade` leads to.

    Each file in ``versions`` begins with its revision, and they follow one another in that order.
    """
    found = Path(__file__).with_name("versions").glob("[0-9]*_*.py")
    return max(file.name.partition("_")[0] for file in found)


def amiss(found: str) -> tuple[str, str] | None:
    """What is wrong with a schema of this revision, and the remedy; None where this build knows it.

    "0000" is of a database without one.
    """
    known = newest()
    if found == known:
        return None
    if found > known:
        return (
            f"schema {found} is newer than this build, which knows {known}",
            "install the release that upgraded the database",
        )
    return f"schema {found}, this build wants {known}", "run `penstock db upgrade`"
