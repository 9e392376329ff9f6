"""A recording of the sandbox: ``python -m dataplane.sandbox.recorded FILE --queries N``.

One row per (query, model), as `penstock replay` reads them: the shipped model really answers each
query, with its score, and the SIMULATED cloud answers by its rule. Parquet, CSV or JSONL, by the
file's suffix.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import orjson
import pyarrow as pa
import uvloop
from pyarrow import csv, parquet

from dataplane.contract.terms import TierTerms
from dataplane.sandbox import MODEL_PATH, cloud, model_sha256
from dataplane.sandbox.scoring import SLOTS, Local, ask
from dataplane.sandbox.tasks import Query, is_correct
from dataplane.sandbox.traffic import traffic
from dataplane.tiers.local import LocalTier
from dataplane.tiers.process import EngineOptions

LOCAL = TierTerms(name="penstock-sandbox", input_usd_per_mtok=0.05, output_usd_per_mtok=0.05)
CLOUD = TierTerms(name="simulated-cloud", input_usd_per_mtok=2.5, output_usd_per_mtok=10.0)
SOURCES = {
    LOCAL.name: "the sandbox's own model, on tasks it was not trained on",
    CLOUD.name: "SIMULATED: right by a rule, at list prices",
}


def outcomes(queries: Sequence[Query], known: Mapping[str, Local], seed: int) -> Iterator[Any]:
    """Both models' rows of each query, as mappings; the difficulty is not among them."""
    for place, query in enumerate(queries):
        shared = {"query_id": f"sandbox-{place}", "prompt": query.text, "category": query.kind}
        local, said = known[query.text], cloud.answer(seed, query.text)
        spent = local.prompt_tokens, local.completion_tokens
        yield shared | _outcome(LOCAL, local.right, local.score, *spent)
        spent = cloud.prompt_tokens(query.text), cloud.tokens(said)
        yield shared | _outcome(CLOUD, is_correct(query.text, said), None, *spent)


def _outcome(
    tier: TierTerms, right: bool, score: float | None, prompt_tokens: int, completion_tokens: int
) -> dict[str, Any]:
    return {
        "model": tier.name,
        "correct": float(right),
        "logprob": score,
        "input_tokens": prompt_tokens,
        "output_tokens": completion_tokens,
        "cost_usd": tier.cost_usd(prompt_tokens, completion_tokens),
        "source": SOURCES[tier.name],
    }


def _write_json(table: Any, path: Path) -> None:

    lines = (orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in table.to_pylist())
    path.write_bytes(b"".join(lines))


def _write_csv(table: Any, path: Path) -> None:
    csv.write_csv(table, path)


def _write_parquet(table: Any, path: Path) -> None:
    parquet.write_table(table, path)


WRITERS: Mapping[str, Callable[[Any, Path], None]] = {
    ".parquet": _write_parquet,
    ".csv": _write_csv,
    ".jsonl": _write_json,
}


async def answered(queries: Sequence[Query]) -> dict[str, Local]:
    """The shipped model's answer to each text, from an engine of its own."""
    options = EngineOptions(MODEL_PATH, model_sha256(), context=128, slots=SLOTS, queue=4 * SLOTS)
    with TemporaryDirectory(prefix="penstock-recorded-") as directory:
        tier = LocalTier("local", LOCAL.name, options, log=Path(directory, "engine.log"))
        await tier.start()
        try:
            return await ask(tier, (query.text for query in queries))
        finally:
            await tier.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, all of the same outcomes; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m dataplane.sandbox.recorded", description=__doc__
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    unknown = [path for path in chosen.files if path.suffix not in WRITERS]
    if unknown:
        parser.error(f"{unknown[0]}: its suffix must be one of {', '.join(WRITERS)}")
    queries = traffic(chosen.seed, chosen.queries)
    known = uvloop.run(answered(queries))
    table = pa.Table.from_pylist(list(outcomes(queries, known, chosen.seed)))
    for path in chosen.files:
        WRITERS[path.suffix](table, path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
