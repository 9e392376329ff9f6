"""Texts: what a query and its answers say, where that is kept, for those who may read it."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from controlplane.connection import Connection
from controlplane.observe import DecisionKey
from controlplane.sql import SQL
from dataplane.contract.records import millisecond

CHARS = 20_000  # of one text are told
LOOKED = 20_000  # texts that one search looks at, the newest first
FOUND = 200


def of(connection: Connection, id: UUID) -> list[dict[str, Any]]:  # noqa: A002 - the API's own word
    """Prompt, options and answers of a decision: ``key``, ``body`` and its length in ``chars``."""
    key = DecisionKey(millisecond(id), id)
    return connection.execute(SQL["texts_kept"], key._asdict() | {"chars": CHARS}).fetchall()


def containing(connection: Connection, words: str, since: datetime) -> dict[str, Any]:
    """The newest decisions whose texts hold these words, whatever their case.

    ``looked``: how many texts were, and ``back_to``: how old the oldest of them is.
    """
    escaped = json.dumps(words, ensure_ascii=False)[1:-1]
    asked = {"words": words, "escaped": escaped, "since": since, "limit": LOOKED}
    row = connection.execute(SQL["texts_containing"], asked).fetchone()
    assert row is not None
    found = [str(each) for each in row["found"][-FOUND:]]  # ids ascend in time
    return {"decisions": found, "looked": row["looked"], "back_to": row["back_to"]}
