"""The routing figures as Markdown, beside the published ones.

Published: RouteLLM (arXiv 2406.18665, MT-Bench and MMLU), FrugalGPT (2305.05176, and its authors'
re-run of 2024), and cascade routing (2410.10347, RouterBench 0-shot). The TF-IDF floors are
five-fold logistic regressions on these same files.
"""

from collections.abc import Mapping, Sequence

from tests.benchmarks.figure import Figure

CALLS = ("apgr", "cpt50", "cpt80")
COSTS = ("saving", "auc")
OUT_OF_FOLD = "out of fold, five parts"

OURS = {
    "mmlu": ("MMLU", "Penstock, category named", OUT_OF_FOLD),
    "mmlu_text": ("MMLU", "Penstock, text alone", OUT_OF_FOLD),
    "mmlu_category_mean": ("MMLU", "mean gain of the category", OUT_OF_FOLD),
    "gsm8k": ("GSM8K", "Penstock, text alone", OUT_OF_FOLD),
    "routerbench": ("RouterBench", "Penstock, category named", OUT_OF_FOLD),
    "routerbench_text": ("RouterBench", "Penstock, text alone", OUT_OF_FOLD),
    "routerbench_category_mean": ("RouterBench", "mean gain of the category", OUT_OF_FOLD),
    "mtbench": ("MT-Bench", "Penstock, text alone", "trained on MMLU and GSM8K alone"),
}
ARENA = "trained on its own data: Arena votes, augmented"
FLOOR = "TF-IDF and logistic regression"
PUBLISHED_CALLS = (
    ("MMLU", FLOOR, ".663", ".254", ".620", OUT_OF_FOLD),
    ("MMLU", "RouteLLM, its best", ".603", ".354", ".703", ARENA),
    ("GSM8K", FLOOR, ".598", ".385", ".666", OUT_OF_FOLD),
    ("RouterBench", FLOOR, ".572", ".406", ".701", OUT_OF_FOLD),
    ("MT-Bench", "RouteLLM, matrix factorisation", ".802", ".134", ".313", ARENA),
)
PUBLISHED_COSTS = (
    ("HEADLINES", "FrugalGPT (2024 re-run)", ".983 (.942)", "-", "its own split, 12 models"),
    ("OVERRULING", "FrugalGPT (2024 re-run)", ".733 (.573)", "-", "its own split, 12 models"),
    ("COQA", "FrugalGPT (2024 re-run)", ".592 (-.006)", "-", "its own split, 12 models"),
    (
        "RouterBench",
        "cascade routing / its routing",
        "-",
        ".728 to .843 / .713 to .812",
        "5 models, all tasks, estimators simulated as truth and noise",
    ),
)


def table(named: Mapping[str, Figure]) -> str:
    """Both tables: by the share of calls, and by cost."""
    calls = _rows(named, CALLS, PUBLISHED_CALLS)
    costs = _rows(named, COSTS, PUBLISHED_COSTS)
    return "\n\n".join(
        [
            _markdown(("data", "router", "APGR", "CPT50", "CPT80", "split"), calls),
            _markdown(("data", "router", "saving at equal accuracy", "AUC", "split"), costs),
        ]
    )


def _rows(
    named: Mapping[str, Figure], measures: Sequence[str], published: Sequence[Sequence[str]]
) -> list[Sequence[str]]:
    rows: list[Sequence[str]] = []
    for name, (data, router, split) in OURS.items():
        found = [named[f"{measure}_{name}"] for measure in measures]
        shown = [f"{_short(f.value)} ({_short(f.lower)} .. {_short(f.upper)})" for f in found]
        rows.append((data, router, *shown, f"{split}, n = {found[0].n:,}"))
    order = list(dict.fromkeys(row[0] for row in [*rows, *published]))
    return sorted([*rows, *published], key=lambda row: order.index(row[0]))


def _short(value: float) -> str:
    return f"{value:.3f}".replace("0.", ".", 1)


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
