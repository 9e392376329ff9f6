"""Check a demo's JSON: every query is in Postgres, replayed, and none mismatched."""

import json
import sys
from pathlib import Path

outcome = json.loads(Path(sys.argv[1]).read_text("utf-8"))
queries = outcome["queries"]
decided = sum(version["decisions"] for version in outcome["policy_versions"])
expected = {
    "decisions_in_postgres": queries,
    "decisions_replayed": queries,
    "decisions_mismatched": 0,
}
wrong = {name: outcome[name] for name, value in expected.items() if outcome[name] != value}
if decided != queries:
    wrong["decisions by policy version"] = decided
sys.exit(f"the demo of {queries} queries does not add up: {wrong}" if wrong else 0)
