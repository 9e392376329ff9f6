"""One decision in full: what happened, why, what it cost, and what others would have done."""

from uuid import UUID

import streamlit as st

from dashboard.charts import decisions as charts
from dashboard.control import Control
from dashboard.figures import decision as one
from dashboard.figures.decisions import SCORES, labelled_scores
from dashboard.frame import reading, simulated, table
from dashboard.units import latency, plain, share, usd


def explain(decision_id: UUID, control: Control, *, may_read: bool) -> None:
    """The decision as the control plane tells it; what people wrote, to whom ``may_read`` it."""
    told = control.get(f"/v1/decisions/{decision_id}")
    simulated(one.simulated(told), "of this decision")
    _headline(told)
    left, right = st.columns(2)
    with left:
        _timeline(told)
    with right:
        _judged(told)
        _worth(told)
    _others(told)
    _costs(told)
    _texts(decision_id, control, may_read=may_read)


def _headline(told: one.Told) -> None:
    records, beliefs = told["records"], told["beliefs"]
    decision, completion = records["decision"], records["completion"]
    mode = f" ({beliefs['mode'].replace('_', ' ')})" if beliefs else ""
    st.subheader(f"Decision {decision['id']}", anchor=False)
    st.caption(
        f"{decision['at'][:10]} {decision['at'][11:19]} UTC, policy v{decision['policy_version']}"
        f"{mode}. {_replayed(told)}"
    )
    columns = st.columns(4)
    served = (completion or {}).get("final_tier")
    score = one.served_score(told)
    cutoff = (beliefs or {}).get("cutoff")
    for column, (label, value, said) in zip(
        columns,
        (
            ("Answered by", served or "nobody", _how(completion)),
            (
                "Judge score",
                "none" if score is None else f"{score:.3f}",
                "no cutoff: the policy does not judge" if cutoff is None
                else f"cutoff {cutoff:.3f}",
            ),
            (
                "Cost",
                usd(completion["cost_usd"]) if completion else "not known",
                f"of {len(records['attempts'])} calls",
            ),
            (
                "Latency",
                latency(completion["latency_ms"] if completion else None),
                f"{latency(completion['overhead_ms'])} our own" if completion else "",
            ),
        ),
        strict=True,
    ):  # fmt: skip
        column.metric(
            label, plain(value), plain(said), delta_arrow="off", delta_color="off", border=True,
            height="stretch",
        )  # fmt: skip


def _how(completion: one.Told | None) -> str:
    if completion is None:
        return "no completion was recorded"
    if completion["status"] != "ok":
        return str(completion["status"])
    return "after an escalation" if completion["escalated"] else "without an escalation"


def _replayed(told: one.Told) -> str:
    if told["matches"]:
        return "Computed again, every step came out the same to the last bit."
    if not told["records"]["steps"]:
        return "No step of it is recorded, so it cannot be computed again."
    if told["beliefs"] is None:
        return "Its policy is not kept, so it cannot be computed again."
    return "**Computed again, it came out otherwise: the record or the code is not what it was.**"


def _timeline(told: one.Told) -> None:
    st.subheader("What happened")
    for moment in one.timeline(told):
        when = f"{plain(moment.when)} · " if moment.when else ""
        st.markdown(f"{when}**{plain(moment.what)}** — {plain(moment.words)}")


def _judged(told: one.Told) -> None:
    st.subheader("The score and the cutoff")
    beliefs, score = told["beliefs"], one.served_score(told)
    if beliefs is None:
        st.info("The policy that decided is not kept: its judge's distributions are not known.")
        return
    judge, cutoff = beliefs["judge"], beliefs["cutoff"]
    with reading() as store:
        labelled = labelled_scores(store, judge["judge"], store.row("now")["now"])
    name = plain(judge["judge"])
    said = "Nobody judged this answer." if score is None else f"This answer scored {score:.3f}."
    against = (
        "The policy judges nothing here." if cutoff is None else f"Its cutoff is {cutoff:.3f}."
    )
    st.altair_chart(
        charts.judge(one.bins(judge, (score, cutoff)), labelled, score, cutoff),
        alt=f"Bars: scores of right answers upwards, of wrong ones downwards. {said} {against}",
    )
    st.caption(
        f"{said} {against} Bars: how judge {name} scores right and wrong answers, as policy "
        f"v{told['records']['decision']['policy_version']} has it. Ticks: the last "
        f"{len(labelled):,} labelled scores of a week ({SCORES} at most). Below the cutoff an "
        "answer escalates."
    )


def _worth(told: one.Told) -> None:
    st.subheader("What each action was worth")
    frame = one.values(told)
    if frame.empty:
        st.info("No step compared several actions: the mode, or what was eligible, left one.")
        return
    st.altair_chart(charts.values(frame), alt="Bars: the value of each action, step by step.")
    st.caption(
        "As the policy saw it then: expected quality less lambda times expected cost, lambda "
        f"{told['beliefs']['lambda']:.4g} for one mean cloud call."
        if told["beliefs"]
        else "As the policy saw it then."
    )


def _others(told: one.Told) -> None:
    st.subheader("What other policies would have done")
    frame = one.others(told)
    if frame.empty:
        st.info("Not known: the query was never completed, or its policy is not kept.")
        return
    shown = frame.assign(
        **{"P(right), as it believes": frame["P(right), as it believes"].map(_percent)}
    )
    table(shown, "other_policies", f"{len(frame)} policies: which tier each would have served.")
    st.caption(
        "By the code that serves, with the same query and seed. Costs of calls that were made are "
        "what they cost, of others what that policy expects."
    )


def _percent(value: float) -> str:
    return share(value, 1)


def _costs(told: one.Told) -> None:
    st.subheader("Costs by call")
    calls = one.calls(told)
    if calls.empty:
        st.info("No call was made.")
        return
    total = float(calls["cost_usd"].sum())
    st.altair_chart(charts.costs(calls), alt=f"Bars: cost by call, {usd(total)} in all.")
    table(calls, "calls", f"{len(calls)} calls, what each used and cost.")


def _texts(decision_id: UUID, control: Control, *, may_read: bool) -> None:
    st.subheader("What was written")
    if not may_read:
        st.info("What people wrote is shown to operators alone.")
        return
    texts = control.get(f"/v1/decisions/{decision_id}/texts")["texts"]
    if not texts:
        st.info(
            "No text of this query is kept: by `text: sampled` only those of drawn queries are, "
            "until their draw is resolved."
        )
    for text in texts:
        st.text(text["key"])
        st.code(text["body"], language=None, wrap_lines=True)
        if text["chars"] > len(text["body"]):
            st.caption(f"The first {len(text['body']):,} of {text['chars']:,} characters.")
