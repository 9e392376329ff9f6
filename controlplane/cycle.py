"""THE STORY OF A POLICY: observe > audit > learn > evaluate > promote > push.

``turn`` is the story without its store: replay, simulation and tests run it on a ``MemoryLog``.
``Cycle`` runs it on the tables. One transaction moves the watermark, the learner's state, the
gates', the marks on labels and the estimates, and publishes what is proposed, so a crash at any
point moves either all of them or none. Publishing is a compare-and-swap on the live policy: a
conflict means that somebody else published, and the learner sees that policy in its next turn.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Protocol

from psycopg.types.json import Jsonb

from controlplane import promote, proposals, push, registry, stages, states
from controlplane.audit import budget, held_out, promise
from controlplane.audit.certificates import Certifier, Event, Review
from controlplane.audit.diagnosis import Diagnosis
from controlplane.audit.labels import Terms
from controlplane.audit.trust import News, Trust
from controlplane.audit.votes import doubled
from controlplane.audit.window import Window
from controlplane.connection import Connect, Connection
from controlplane.events import record_event
from controlplane.explain import shelf
from controlplane.leader import Leader
from controlplane.observations import Labelled, Observation
from controlplane.observe import Log, PostgresLog, Source, Watermark, vector
from controlplane.sql import SQL
from controlplane.stages import Seen
from dataplane.contract.policy import PolicyDocument

LEARNER = "learner"
TRUST = "trust"
OBSERVED = "observed"
FROZEN = "frozen"
CERTIFIER = "certifier"
DIAGNOSIS = "diagnosis"
WIDTH = 0.02  # half-width of served quality that is wanted where nothing is stated
UNDOUBLED = Terms(double=0.0)


class Learner(Protocol):
    """What the cycle asks of a learner (``controlplane.learn.learner`` is the real one)."""

    def follow(self, live: PolicyDocument) -> None:
        """What serves from here on."""

    def observe(self, observations: Sequence[Observation]) -> None:
        """Completed queries, each once."""

    def learn(self, labelled: Sequence[Labelled]) -> None:
        """Resolved audit draws that are not held out, each once."""

    def propose(
        self, live: PolicyDocument, now: datetime, *, undecided: bool = False
    ) -> PolicyDocument | None:
        """The successor of the live policy, or None where it should stay.

        ``undecided``: whether a judge on trial may yet earn its say.
        """

    def alarms(self) -> list[str]:
        """What alarmed since the last call, in words."""

    def to_json(self) -> str:
        """The whole state."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one turn of the cycle saw and wants."""

    observations: list[Observation]
    labelled: list[Labelled]
    watermark: Watermark
    alarms: list[str]
    news: list[News]
    proposal: PolicyDocument | None
    events: tuple[Event, ...] = ()

    @property
    def still(self) -> bool:
        """Whether nothing happened that is worth keeping."""
        news = self.observations, self.labelled, self.alarms, self.news, self.proposal, self.events
        return not any(news)


def turn(  # noqa: PLR0913 - all who follow the queries
    log: Log,
    learner: Learner,
    live: PolicyDocument,
    watermark: Watermark,
    now: datetime,
    *,
    trust: Trust | None = None,
    frozen: bool = False,
    certifier: Certifier | None = None,
    diagnosis: Diagnosis | None = None,
) -> Turn:
    """Follow what serves, observe, learn, say what drifted, certify, hear the gates, propose.

    What is void or lost its say goes first, then what the learner wants under what holds. Frozen,
    all go on learning but move no policy; what is void goes all the same. Without ``trust`` there
    is no gate: the judge is as trusted as the live policy says.
    """
    observations, reached = log.new(watermark)
    labelled = log.labelled()
    learner.follow(live)
    learner.observe(observations)
    share = live.audit.held_out
    lessons = [each for each in labelled if not each.held_out(share)]
    learner.learn(lessons)
    alarms = learner.alarms()
    drifts: tuple[Event, ...] = ()
    if diagnosis is not None:
        drifts = diagnosis.review(live, observations, labelled, alarms)
    found = Review(live)
    if certifier is not None:
        found = certifier.review(live, observations, lessons, alarms, now)
    if trust is not None:
        trust.agree(live, now)
        trust.hear(*log.in_order(trust.place))
    proposal = None if frozen else _proposal(learner, trust, found.policy, now)
    if found.policy is not live and (not frozen or found.voids):
        proposal = found.under(proposal)
    news = [] if trust is None else trust.news()
    return Turn(observations, labelled, reached, alarms, news, proposal, (*drifts, *found.events))


def _proposal(
    learner: Learner, trust: Trust | None, live: PolicyDocument, now: datetime
) -> PolicyDocument | None:
    """What the gates say goes first."""
    if trust is None:
        return learner.propose(live, now)
    said = trust.verdict(live, now)
    return said or learner.propose(live, now, undecided=trust.undecided(live))


@dataclass(frozen=True, slots=True)
class School:
    """How a learner comes into being: anew, and from its saved state (``ValueError`` if broken)."""

    fresh: Callable[[], Learner]
    restored: Callable[[str], Learner]


@dataclass(slots=True)
class _Kept:
    """The learner and the diagnosis in memory, and the checksums of the saved states they equal."""

    learner: Learner
    checksum: str
    diagnosis: Diagnosis
    diagnosed: str


class Cycle:
    """The story on the tables, one turn a call. Only the leader's turns are written."""

    def __init__(
        self,
        connect: Connect,
        leader: Leader,
        school: School,
        window: Window | None = None,
        terms: Terms = UNDOUBLED,
        width: float | None = None,
        per_day: int | None = None,
        rollout: promote.Terms = proposals.USUAL,
    ) -> None:
        self._connect = connect
        self._leader = leader
        self._school = school
        self._window = window or Window()
        self._terms = terms
        self._width = width
        self._per_day = per_day
        self._rollout = rollout
        self._kept: _Kept | None = None

    def run(self, now: datetime) -> Turn:
        """One turn; raises ``NotLeaderError``, and then nothing of it was written."""
        try:
            done = self._turn(now)
        except BaseException:
            self._kept = None  # the learner may have seen what was rolled back
            raise
        self._promote()
        return done

    def _turn(self, now: datetime) -> Turn:
        with self._connect() as connection:
            kept = self._hold(connection)
            live = registry.live(connection)
            twice = partial(doubled, share=self._terms.double)
            log = PostgresLog(connection, twice=twice, tolerance=self._terms.tolerance)
            frozen = states.load_value(connection, FROZEN, default=False)
            watermark = load_watermark(connection)
            trust = load_trust(connection)
            certifier = Certifier.from_json(states.load_value(connection, CERTIFIER, default=None))
            before = trust.to_json(), certifier.to_json()
            asked = live if frozen else budget.rationed(connection, live, self._per_day, now)
            done = turn(
                log,
                kept.learner,
                asked,
                watermark,
                now,
                trust=trust,
                frozen=frozen,
                certifier=certifier,
                diagnosis=kept.diagnosis,
            )
            if done.proposal is None:
                done = replace(done, proposal=budget.successor(live, asked, now))
            self._keep(connection, kept, done)
            if (told := trust.to_json()) != before[0]:
                states.save(connection, TRUST, told)
            if (held := certifier.to_json()) != before[1]:
                states.save_value(connection, CERTIFIER, held)
            self._count(connection, live, done, now)
            seen = Seen(done.observations, trust.place, bool(done.alarms), frozen, now)
            stages.lead(connection, live, log, seen, self._rollout)
            if log.resolved:
                self._evaluate(connection, live)
            if done.proposal is not None:
                _push(connection, live, done.proposal)
            self._leader.check()
        return done

    def _promote(self) -> None:
        """Put in force what the proposal's stage wants."""
        with self._connect() as connection:
            try:
                proposals.put_in_force(connection, self._rollout, self._leader.check)
            except registry.ConflictError as conflict:
                record_event(connection, "conflict", {"reason": str(conflict)})

    def _hold(self, connection: Connection) -> _Kept:
        """What is in memory in step with what was saved, which stays locked until the turn ends."""
        checksum = states.lock(connection, LEARNER, self._school.fresh().to_json())
        diagnosed = states.lock(connection, DIAGNOSIS, json.dumps(Diagnosis().to_json()))
        kept = self._kept
        if kept is None or (kept.checksum, kept.diagnosed) != (checksum, diagnosed):
            body = states.load(connection, LEARNER)
            assert body is not None
            diagnosis = Diagnosis.from_json(states.load_value(connection, DIAGNOSIS, default=None))
            learner = states.understood(LEARNER, body, self._school.restored)
            kept = _Kept(learner, checksum, diagnosis, diagnosed)
        self._kept = kept
        return kept

    def _keep(self, connection: Connection, kept: _Kept, done: Turn) -> None:
        connection.execute(SQL["save_watermark"], vector(done.watermark))
        if done.still:
            return
        kept.checksum = states.save(connection, LEARNER, kept.learner.to_json())
        diagnosed = json.dumps(kept.diagnosis.to_json())
        kept.diagnosed = states.save(connection, DIAGNOSIS, diagnosed)
        observed = states.load_value(connection, OBSERVED, default=0)
        states.save_value(connection, OBSERVED, observed + len(done.observations))
        for words in done.alarms:
            record_event(connection, "alarm", {"reason": words})
        for moved in done.news:
            record_event(connection, "gate", moved.to_json())
        for kind, body in done.events:
            record_event(connection, kind, body)

    def _count(
        self, connection: Connection, live: PolicyDocument, done: Turn, now: datetime
    ) -> None:
        """What the audit's budget and its held-out labels have to be told."""
        if done.observations and self._per_day is not None:
            budget.count(connection, done.observations, now)
        parted = held_out.look(connection, live, done.labelled) if done.labelled else None
        if parted is not None and parted.alarms:
            record_event(connection, "alarm", {"reason": parted.words})

    def _evaluate(self, connection: Connection, live: PolicyDocument) -> None:
        served = self._window.read(connection, live.objective.accepts)
        alarms = [row["at"] for row in connection.execute(SQL["alarm_times"])]
        terms = promise.Terms(
            live.objective.confidence,
            self._width or getattr(live.objective, "tolerance", 0.0) or WIDTH,
            registry.structural(connection, live.version),
            self._window.span,
            alarms,
        )
        for found in promise.promises(served, terms):
            quality = found.estimate.quality
            row = {
                "policy_version": live.version,
                "window": found.window,
                "n": found.estimate.queries,
                "quality": quality and quality.estimate,
                "lo": quality and quality.low,
                "hi": quality and quality.high,
                "detail": Jsonb(found.detail()),
            }
            connection.execute(SQL["add_estimate"], row)


def _push(connection: Connection, live: PolicyDocument, proposal: PolicyDocument) -> None:
    """Publish, within the turn's transaction; a conflict takes nothing else of it back."""
    try:
        policy = push.succeed(connection, live, proposal)
    except registry.ConflictError as conflict:
        record_event(connection, "conflict", {"reason": str(conflict)})
    else:
        record_event(connection, policy.kind, push.summary(policy))


def load_watermark(connection: Connection) -> dict[Source, int]:
    """How far the records were read."""
    rows = connection.execute(SQL["load_watermark"])
    return {Source(row["plane"], row["segment"]): row["offset"] for row in rows}


def load_trust(connection: Connection) -> Trust:
    """The gates, which stay locked until the transaction ends."""
    documents = shelf(connection)
    body = states.held(connection, TRUST, Trust(documents).to_json())
    return Trust.from_json(body, documents)
