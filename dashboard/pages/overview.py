"""Overview: is it healthy, and is it worth it?"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Literal, TypeAlias

import streamlit as st

from dashboard.charts import overview as charts
from dashboard.figures.overview import ENOUGH, Figures, Money, Policy, Quality, read
from dashboard.filters import Filters
from dashboard.frame import REFRESH_S, page, reading, simulated
from dashboard.units import UNKNOWN, age, latency, plain, share, usd

Colour: TypeAlias = Literal["green", "red", "gray"]
GATES = {
    "closed": "on trial, it decides nothing",
    "earned": "it earned its say, which waits to be accepted",
    "open": "trusted",
}
VERDICTS: dict[str, tuple[str, Colour]] = {
    "kept": ("target kept", "green"),
    "missed": ("target missed", "red"),
    "undecided": ("not decided yet", "gray"),
}


@st.cache_data(ttl=REFRESH_S - 1, max_entries=64, show_spinner="Reading the store")
def overview_figures(filters: Filters) -> Figures:
    """The figures of a part of the traffic, read once for all viewers."""
    with reading() as store:
        return read(store, filters.span, filters.narrowed)


def show(filters: Filters) -> None:
    """The page below its title."""
    period = filters.period
    figures = overview_figures(filters)
    simulated(figures.simulated)
    _scope(figures, filters)
    _headline(figures, filters)
    _older_alarms(figures)
    if figures.answered:
        _courses(figures, period)
    else:
        st.info(_nothing(figures, period))


def _scope(figures: Figures, filters: Filters) -> None:
    """What the figures are of, where that is not plain."""
    said = []
    if any(value is not None for value in filters.narrowed.values()):
        said.append(
            "The filters narrow shares, latency and costs; quality, "
            "policy, alarms and gates are of all traffic. Tier: of who answered, and of the calls "
            "charged."
        )
    if figures.summed:
        said.append("Of so many queries sums by ten minutes are read, and p95 from bins 10 % wide.")
    if figures.unsummed:
        said.append(f"The sums still lack {figures.unsummed:,} records that have arrived.")
    if said:
        st.caption(" ".join(said))


def _headline(figures: Figures, filters: Filters) -> None:
    left, middle, right = st.columns(3)
    with left:
        _quality(figures)
    with middle:
        _saving(figures.money, filters.tier)
    with right:
        _policy(figures)
    left, middle, right = st.columns(3)
    left.metric(
        "Local share",
        share(figures.local_share),
        f"{figures.local:,} of {figures.answered:,} answers",
        delta_arrow="off", delta_color="off", border=True, height="stretch",
    )  # fmt: skip
    failed = figures.queries - figures.answered
    middle.metric(
        "p95 latency",
        latency(figures.p95_latency_ms),
        f"{failed:,} of {figures.queries:,} queries failed",
        delta_arrow="off", delta_color="off", border=True, height="stretch",
    )  # fmt: skip
    with right:
        _alarms(figures)


def _quality(figures: Figures) -> None:
    quality, policy = figures.quality, figures.policy
    target = _target(policy)
    value = UNKNOWN
    colour: Colour = "gray"
    said = f"{figures.labels_missing} more labels until an interval"
    if quality is not None:
        value = share(quality.quality, 1)
        said, colour = _verdict(quality, policy)
    st.metric(
        f"Quality, {target}",
        value, said, delta_arrow="off", delta_color=colour, border=True, height="stretch",
        help="Share of right answers among those served, by audited labels; the last 20,000 "
        "answers before the first unresolved audit, whatever the period.",
    )  # fmt: skip


def _verdict(quality: Quality, policy: Policy | None) -> tuple[str, Colour]:
    """The interval and whether the promise is kept, and the colour that says so again."""
    interval = f"{100 * quality.lo:.1f} to {share(quality.hi, 1)}"
    if policy is None or policy.floor is None:
        return interval, "gray"
    said, colour = VERDICTS[quality.verdict(policy.floor)]
    return f"{interval}: {said}", colour


def _target(policy: Policy | None) -> str:
    if policy is None:
        return "no policy yet"
    if policy.target_quality is None:
        return "no target: the objective is a cost ceiling"
    of = "" if policy.reference == "ground_truth" else " of always-cloud"
    points = f"{100 * (policy.tolerance or 0):g} points"
    return f"target {100 * policy.target_quality:g} %{of} less {points}"


def _saving(money: Money, tier: str | None) -> None:
    if tier is not None:
        st.metric(
            "Cost saved against always-cloud", UNKNOWN,
            f"one tier saves nothing by itself; its calls cost {usd(money.spent_usd)}",
            delta_arrow="off", delta_color="off", border=True, height="stretch",
        )  # fmt: skip
        return
    saved = money.saved_share
    dear = usd(money.always_cloud_usd)
    st.metric(
        "Cost saved against always-cloud",
        share(saved),
        f"{usd(money.spent_usd)} of {dear}; labels {usd(money.labels_usd)} apart",
        delta_arrow="off", delta_color="off" if not saved or saved > 0 else "red",
        border=True, height="stretch", help=_charged(money),
    )  # fmt: skip


def _policy(figures: Figures) -> None:
    policy = figures.policy
    if policy is None:
        st.metric("Policy", "none", "nothing was published yet", delta_arrow="off",
                  delta_color="off", border=True, height="stretch")  # fmt: skip
        return
    old = age(figures.now - policy.published_at)
    st.metric(
        "Policy",
        f"v{policy.version}",
        f"{policy.mode.replace('_', ' ')}, {old} old, by {policy.author}",
        delta_arrow="off", delta_color="off", border=True, height="stretch",
        help=f"Why: {plain(policy.reason)}",
    )  # fmt: skip


def _alarms(figures: Figures) -> None:
    count = len(figures.alarms)
    if count:
        newest = figures.alarms[0]
        said = f"{age(figures.now - newest['at'])} ago: {plain(str(newest['reason']))}"
    else:
        said = "the learner saw no drift"
    st.metric(
        "Alarms in the last day", f"{count}", said, delta_arrow="off",
        delta_color="orange" if count else "off", border=True, height="stretch",
    )  # fmt: skip


def _older_alarms(figures: Figures) -> None:
    if len(figures.alarms) > 1:
        with st.expander(f"All {len(figures.alarms)} alarms"):
            for alarm in figures.alarms:
                st.text(f"{age(figures.now - alarm['at'])} ago: {alarm['reason']}")


def _courses(figures: Figures, period: str) -> None:
    left, right = st.columns(2)
    with left:
        _quality_course(figures)
    with right:
        _cost_course(figures, period)
    _policy_course(figures)
    _judge(figures)


def _quality_course(figures: Figures) -> None:
    st.subheader("Quality over time")
    course, policy = figures.quality_course, figures.policy
    if course.empty:
        st.info(
            f"No interval in this period: it takes {ENOUGH} labels, "
            f"{figures.labels_missing} more are wanted."
        )
        return
    target = policy.target_quality if policy and policy.floor is not None else None
    last = course.iloc[-1]
    alt = (
        f"Line: served quality, {share(last['quality'], 1)} at last, "
        f"within {share(last['lo'], 1)} to {share(last['hi'], 1)}; {_target(policy)}."
    )
    st.altair_chart(charts.quality(course, target, policy.floor if policy else None), alt=alt)
    confidence = policy.confidence if policy else 0.95
    st.caption(
        f"What the audit knew at each moment of all answers served until then, with its "
        f"{confidence:.0%} interval. {int(last['labels']):,} labelled queries by now."
    )


def _cost_course(figures: Figures, period: str) -> None:
    st.subheader("Cost per query over time")
    money = figures.money
    alt = (
        f"Bars: cost by purpose. Dashed line: always-cloud. In all {usd(money.spent_usd)} "
        f"against {usd(money.always_cloud_usd)} in the last {period}."
    )
    st.altair_chart(charts.cost(figures.cost_course, figures.cloud_course), alt=alt)
    st.caption(_charged(money))


def _charged(money: Money) -> str:
    parts = ", ".join(f"{name} {usd(cost)}" for name, cost in sorted(money.by_purpose.items()))
    return (
        f"Charged: {parts or 'nothing'}. Always-cloud: what the cloud's answers did cost, "
        f"{usd(money.paid_cloud_usd)}; and for the other answered queries what their policies "
        f"expected of a cloud call, {usd(money.expected_cloud_usd)}, times {money.correction:.2f} "
        f"by what {money.shadow_calls:,} shadow calls really cost. Failed queries are charged, and "
        f"credited nothing. {money.labels:,} labels at their stated price are "
        f"{usd(money.labels_usd)}, apart."
    )


def _policy_course(figures: Figures) -> None:
    st.subheader("Routing threshold and judge cutoff")
    course = figures.policy_course
    if course.empty:
        st.info("No policy was published yet: start the control plane by `penstock up`.")
        return
    policy = figures.policy
    assert policy is not None
    upper, lower = st.columns(2)
    upper.altair_chart(
        charts.steps(course, "routing_threshold", "routing threshold (p_hat)", (0, 1)),
        alt=f"Steps: the routing threshold, {policy.routing_threshold:.3f} at last.",
    )
    lower.altair_chart(
        charts.steps(
            course,
            "judge_cutoff",
            f"judge cutoff (raw {policy.judge} score)",
            (policy.judge_lowest, policy.judge_highest),
        ),
        alt=f"Steps: the judge cutoff, {policy.judge_cutoff:.3f} at last.",
    )
    versions = course["version"].nunique()
    st.caption(
        f"{versions} versions; now {policy.routing_threshold:.3f} and {policy.judge_cutoff:.3f}. "
        "Below the threshold a query is routed up, below the cutoff its local answer escalates. "
        "What lies at an edge is beyond it: it stands for always or never."
    )


def _judge(figures: Figures) -> None:
    st.subheader("Judge")
    for gate in figures.gates:
        st.caption(_gate(gate, figures.now))
    st.caption(
        "What labels say of it is on the page Judge accuracy."
        if figures.gates
        else "None was on trial yet: it decides nothing before labels have shown that it pays."
    )


def _gate(gate: Mapping[str, Any], now: datetime) -> str:
    """Whether the judge may decide, and for how long that has been so."""
    since = f" for {age(now - gate['since'])}" if gate["since"] else ""
    stands = GATES[gate["standing"]]
    judge, segment = plain(gate["judge"]), plain(gate["segment"])
    return f"Judge {judge}, segment {segment}: {stands}{since}, {gate['pairs']:,} pairs seen."


def _nothing(figures: Figures, period: str) -> str:
    if figures.last is None:
        return "No query has been recorded yet: send one to the gateway, and it shows here."
    ago = age(figures.now - figures.last)
    return (
        f"No query was answered in the last {period}; the last one came {ago} ago: "
        "choose a longer period."
    )


page(
    "Overview", "Is it healthy, and is it worth it?", show, "tenant", "segment", "version", "tier",
)  # fmt: skip
