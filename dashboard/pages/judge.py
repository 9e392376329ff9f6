"""Judge accuracy: can I trust it?"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeAlias

import pandas as pd
import streamlit as st

from dashboard.charts import judge as charts
from dashboard.figures.judge import (
    MEANINGS,
    STANDINGS,
    Figures,
    checks,
    confusion,
    read,
    within,
)
from dashboard.filters import Filters
from dashboard.frame import page, reading, simulated, table
from dashboard.history import changes
from dashboard.units import UNKNOWN, age, plain, share

EVERY_S = 30.0
CHANCE = 0.5  # the AUROC of a judge that knows nothing
Report: TypeAlias = Mapping[str, Any]
Colour: TypeAlias = Literal["green", "red", "gray"]


@st.cache_data(ttl=EVERY_S - 1, max_entries=16, show_spinner="Reading the store")
def judge_figures(filters: Filters) -> Figures:
    """The figures, read once for all viewers."""
    with reading() as store:
        return read(store, filters)


def show(filters: Filters) -> None:
    """The page below its title."""
    figures = judge_figures(filters)
    report = figures.report
    simulated(figures.simulated)
    if report is None:
        st.info(_nothing(figures, filters))
        return
    _headline(report, figures)
    if figures.known:
        _views(report, figures, filters)
    else:
        st.info(_missing(report))
        changes(figures.changes, figures.now, filters.period, "judge_changes")
    _segments(figures)
    _checks(report)


def _nothing(figures: Figures, filters: Filters) -> str:
    if figures.reports:
        named = ", ".join(plain(each["segment"]) for each in figures.reports)
        return f"No report on segment {plain(filters.segment or '')}: there are some on {named}."
    return (
        "No report on the judge yet: the control plane writes one a minute once a policy is live. "
        "Start it by `penstock up` or `penstock control`."
    )


def _headline(report: Report, figures: Figures) -> None:
    gate, known = report["gate"], figures.known
    columns = st.columns(4)
    with columns[0]:
        _metric(
            f"Trusted in {plain(report['segment'])}?",
            STANDINGS.get(gate, "no gate"),
            MEANINGS.get(gate, "no gate stands before it"),
            "green" if gate == "open" else "gray",
        )
    with columns[1]:
        chance = known and report["auroc_lo"] <= CHANCE
        _metric(
            "Ranks right above wrong (AUROC)",
            f"{report['auroc']:.2f}" if known else UNKNOWN,
            f"{report['auroc_lo']:.2f} to {report['auroc_hi']:.2f}; {CHANCE:g} is chance"
            if known
            else _wanted(report),
            "red" if chance else "gray",
        )
    with columns[2]:
        _metric(
            f"Wrong answers accepted at {report['cutoff']:.3g}",
            share(report["wrong_accepted"], 1) if known else UNKNOWN,
            f"{within(report, 'wrong_accepted')} of the wrong ones" if known else _wanted(report),
        )
    with columns[3]:
        _metric(
            "Of accepted answers, right",
            share(report["right_of_accepted"], 1) if known else UNKNOWN,
            f"{within(report, 'right_of_accepted')}; it accepts {share(report['accepted'])} of all"
            if known
            else _wanted(report),
        )
    if report["gate_words"]:
        st.markdown(f"**Why:** {plain(report['gate_words'])}.")
    if report["warning"]:
        st.warning(f"Kinship: {plain(report['warning'])}.", icon=":material/warning:")
    st.caption(_basis(report, figures))


def _metric(label: str, value: str, said: str, colour: Colour = "gray") -> None:
    st.metric(
        label, value, said, delta_arrow="off", delta_color=colour, border=True, height="stretch"
    )


def _wanted(report: Report) -> str:
    return f"{report['labels_missing']} more labels until an interval"


def _basis(report: Report, figures: Figures) -> str:
    """What the figures stand on."""
    old = age(figures.now - report["at"])
    waiting = sum(figures.waiting.get(each, 0) for each in ("pending", "leased"))
    drawn = sum(figures.waiting.values())
    return (
        f"Judge {plain(report['judge'])}, by {report['labels']:,} labelled local answers "
        f"({report['right_labels']:,} right), the latest 5,000 labelled queries at most; reported "
        f"{old} ago. In this period {drawn:,} queries were drawn for a label, {waiting:,} of them "
        "wait for one."
    )


def _missing(report: Report) -> str:
    wrong = report["labels"] - report["right_labels"]
    kind = "wrong" if wrong <= report["right_labels"] else "right"
    return (
        f"{report['labels_missing']} more labels of {kind} answers until an interval: "
        "below 30 of either kind a figure is noise. Label some on the page Labelling, or by "
        "`penstock label`."
    )


def _views(report: Report, figures: Figures, filters: Filters) -> None:
    """Of which one is drawn: all at once, the page would take twice as long."""
    now, other, course, numbers = st.tabs(
        ["At the cutoff", "At another cutoff", "Over time", "Numbers"],
        key="view",
        bind="query-params",
    )
    if now.open:
        with now:
            _pair(lambda: _calibration(report, figures), lambda: _confusion(report, figures))
    if other.open:
        with other:
            _pair(lambda: _scores(report, figures), lambda: _roc(report, figures))
    if course.open:
        with course:
            _course(figures)
            changes(figures.changes, figures.now, filters.period, "judge_changes")
    if numbers.open:
        with numbers:
            _numbers(figures)


def _pair(first: Callable[[], None], second: Callable[[], None]) -> None:
    left, right = st.columns(2)
    with left:
        first()
    with right:
        second()


def _calibration(report: Report, figures: Figures) -> None:
    st.subheader("Does it mean what it says?")
    bins = figures.bins
    st.altair_chart(
        charts.calibration(bins),
        alt=f"Points with bands: promised against labelled correctness in {len(bins)} bins; on "
        "the diagonal the judge is honest.",
    )
    st.caption(
        f"Off by {100 * report['calibration_error']:.1f} points on average "
        f"({within(report, 'calibration_error')}). Each point is a bin of the probability that "
        "the policy read the score as, with its interval; on the dashed line it is honest."
    )


def _confusion(report: Report, figures: Figures) -> None:
    st.subheader(f"What the cutoff {report['cutoff']:.3g} does")
    cells = confusion(report, figures.scores)
    said = "; ".join(
        f"{row.answer} and {row.verdict}: {row.share:.1%}" for row in cells.itertuples()
    )
    st.altair_chart(charts.confusion(cells), alt=f"Four tiles. {said}.")
    st.caption(
        "Shares are of the right, and of the wrong, answers, each label weighed by what it stands "
        f"for. Right ones accepted: {within(report, 'right_accepted')}; wrong ones: "
        f"{within(report, 'wrong_accepted')}."
    )


def _scores(report: Report, figures: Figures) -> None:
    st.subheader("Scores of right and of wrong answers")
    if figures.scores.empty:
        st.info("The next report, within a minute, keeps how scores are spread.")
        return
    cutoff = report["cutoff"] if figures.inside else None
    st.altair_chart(
        charts.scores(figures.scores, cutoff, report["judge"]),
        alt="Bars: scores of right answers upwards, of wrong ones downwards; what escalates is "
        "paler.",
    )
    beyond = "" if figures.inside else " The cutoff lies beyond all scores: always, or never."
    st.caption(
        "The less the two overlap, the better it tells them apart. From the cutoff up an answer is "
        f"served; paler ones escalate. The outermost bins hold what lies beyond them.{beyond}"
    )


def _roc(report: Report, figures: Figures) -> None:
    st.subheader("What another cutoff would do (ROC)")
    names = [f"{name}{end}" for name in ("wrong_accepted", "right_accepted")
             for end in ("", "_lo", "_hi")]  # fmt: skip
    here = pd.DataFrame([{name: report[name] for name in names}])
    st.altair_chart(
        charts.roc(figures.roc, here),
        alt=f"Curve: right against wrong answers accepted; the live cutoff accepts "
        f"{share(report['right_accepted'], 1)} of the right and "
        f"{share(report['wrong_accepted'], 1)} of the wrong ones.",
    )
    st.caption(
        f"The area under the curve is {report['auroc']:.3f} ({report['auroc_lo']:.3f} to "
        f"{report['auroc_hi']:.3f}); on the dashed line a judge knows nothing."
    )


def _course(figures: Figures) -> None:
    stretches, hours, moved = figures.stretches, figures.hours, figures.changes
    if stretches.empty and hours.empty:
        st.info("No label of this period was in a report: choose a longer period.")
        return
    for column, name, title in zip(
        st.columns(2),
        ("auroc", "wrong_accepted"),
        ("AUROC (0.5 is chance)", "wrong answers accepted (%)"),
        strict=True,
    ):
        column.altair_chart(
            charts.over_time(stretches, hours, moved, name, title),
            alt=f"Over time: {title}, {len(stretches)} stretches of labels and {len(hours)} "
            f"hourly reports, each with its interval; {len(moved)} changes are marked.",
        )
    st.caption(
        "Boxes: stretches of as many labels each, told by those alone, so a break shows at once. "
        "Line: what hourly reports said of all labels until then. Both with their "
        "intervals; diamonds mark gates that opened or closed, alarms and drifts, listed below."
    )


def _segments(figures: Figures) -> None:
    if len(figures.reports) < 2:
        return
    st.subheader("By segment")
    rows = pd.DataFrame(
        {
            "segment": each["segment"],
            "judge": each["judge"],
            "gate": STANDINGS.get(each["gate"], "no gate"),
            "labels": each["labels"],
            "labels missing": each["labels_missing"],
            "cutoff (raw score)": each["cutoff"],
            "AUROC": each["auroc"],
            "AUROC from": each["auroc_lo"],
            "AUROC to": each["auroc_hi"],
            "wrong accepted (share)": each["wrong_accepted"],
            "right accepted (share)": each["right_accepted"],
        }
        for each in figures.reports
    )
    table(rows.round(3), "judge_by_segment", "A row a segment: its gate and what its judge does.")


def _checks(report: Report) -> None:
    st.subheader("What else is known")
    for name, said in checks(report):
        left, right = st.columns([1, 4])
        left.markdown(f"**{name}**")
        right.markdown(plain(said))


def _numbers(figures: Figures) -> None:
    for name, frame in (
        ("judge_calibration", figures.bins),
        ("judge_scores", figures.scores),
        ("judge_roc", figures.roc),
        ("judge_stretches", figures.stretches),
        ("judge_hours", figures.hours),
    ):
        st.caption(name.replace("_", " "))
        table(frame, name, f"The rows of {name.replace('_', ' ')}.")


page("Judge accuracy", "Can I trust it?", show, "segment", every_s=EVERY_S)
