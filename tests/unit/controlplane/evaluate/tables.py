"""Small recordings, written by hand."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any


def outcome(query: int, model: str, correct: float, **more: Any) -> dict[str, Any]:
    """One row; ``more`` overrides, and None leaves a column out."""
    row = {
        "query_id": f"q{query}",
        "prompt": f"What is {query} + {query}?",
        "model": model,
        "correct": correct,
        "cost_usd": 0.01 if model == "large" else 0.001,
    }
    return {name: value for name, value in (row | more).items() if value is not None}


def both(query: int, small: float, large: float, **more: Any) -> list[dict[str, Any]]:
    """The rows of both models."""
    return [outcome(query, "small", small, **more), outcome(query, "large", large, **more)]


def written(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """The rows as JSONL."""
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path
