"""The trust gate: whether the judge may decide in a segment, by what judging proved to be worth.

There is one gate a judge and segment (``stats.gate``). It is told of every audited query in the
order of the draws, whatever order the labels came in, so what it knows is a function of records
and documents alone; labels that the serving document holds out it never hears. What it wants of
the live policy (``verdict``) is a successor: an opening is a proposal, which may wait for an
operator's yes; a closing acts at once.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from controlplane.audit.comparison import compare
from controlplane.audit.trial import Evidence, Trial
from controlplane.observations import Labelled, Place
from controlplane.stats.gate import Gate, Standing, Terms, opened
from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import SegmentPolicy

Documents: TypeAlias = Callable[[int], PolicyDocument | None]

LEVEL = 0.05  # that any judge which does not pay ever earns an opening; segments share it
CHANGED = {
    "earned": "judge {} earned its say in segment {}",
    "closed": "judge {} lost its say in segment {}",
}
UNDECIDED_FOR = 600  # pairs: a judge that earned nothing by then is looked at as seldom as any


class Key(NamedTuple):
    """A judge in a segment."""

    judge: str
    segment: str


@dataclass(frozen=True, slots=True)
class News:
    """A gate that stands otherwise, with what moved it; None: a policy did."""

    key: Key
    standing: Standing
    evidence: Evidence | None

    def to_json(self) -> dict[str, Any]:
        """An event's body."""
        told = self.evidence.to_json() if self.evidence else {}
        said = {"standing": self.standing, "reason": self.words}
        return self.key._asdict() | said | told

    @property
    def words(self) -> str:
        """In a sentence."""
        judge, segment = self.key
        if self.standing == "open":
            return f"judge {judge} decides in segment {segment} from now on"
        if self.evidence is None:
            return f"judge {judge} is on trial again in segment {segment}: a policy distrusts it"
        return f"{CHANGED[self.standing].format(*self.key)}: {self.evidence.words}"


class Trust:
    """All gates, and how far in the order of the draws they were told; ``documents`` by version."""

    def __init__(self, documents: Documents) -> None:
        self.documents = documents
        self.trials: dict[Key, Trial] = {}
        self.place: Place = ()
        self._news: list[News] = []

    def agree(self, live: PolicyDocument, now: datetime) -> None:
        """Take note of what the live policy has: an opening was published, a judge is new.

        A policy that trusts its judge before there is any gate is taken at its word.
        """
        first = not self.trials
        for key, segment in _segments(live):
            trial = self.trials.get(key)
            stands = trial.gate.standing if trial else None
            if trial is None:
                trusted = first and segment.trust == "open"
                self.trials[key] = Trial(Gate("open" if trusted else "closed"))
            elif segment.trust == "open" and stands == "earned":
                self._move(key, replace(trial, gate=opened(trial.gate), since=now), None)
            elif segment.trust == "closed" and stands == "open":
                self._move(key, Trial(since=now), None)

    def hear(self, resolved: Sequence[Labelled], reached: Place) -> None:
        """Resolved audit draws, each once, in the order of the draws."""
        self.place = reached
        for each in resolved:
            document = self.documents(each.observation.policy_version)
            if document is None or each.held_out(document.audit.held_out):
                continue
            told = compare(document, each)
            if told is None:
                continue
            key = Key(document.judge.judge, document.segment(each.observation.segment).name)
            was = self.trials.get(key, Trial())
            trial = was.hear(told, each.observation.at, terms(document, told.reach))
            if trial.gate.standing == was.gate.standing:
                self.trials[key] = trial
            else:
                self._move(key, trial, trial.proof)

    def _move(self, key: Key, trial: Trial, why: Evidence | None) -> None:
        self.trials[key] = trial
        self._news.append(News(key, trial.gate.standing, why))

    def news(self) -> list[News]:
        """The gates that stood otherwise since the last call."""
        told, self._news = self._news, []
        return told

    def undecided(self, live: PolicyDocument) -> bool:
        """Whether some judge may yet earn its say."""
        return any(
            trial.gate.standing == "closed" and trial.pairs < UNDECIDED_FOR
            for _, trial in self.of(live)
        )

    def of(self, live: PolicyDocument) -> Iterator[tuple[Key, Trial]]:
        """The gates of the live policy's judge."""
        for key, _ in _segments(live):
            yield key, self.trials.get(key, Trial())

    def verdict(
        self, live: PolicyDocument, now: datetime, accepted: Collection[str] = ()
    ) -> PolicyDocument | None:
        """The live policy's successor where a gate stands otherwise than it does.

        ``accepted`` are the segments whose opening an operator accepted.
        """
        for key, segment in _segments(live):
            trial = self.trials.get(key, Trial())
            stands = trial.gate.standing
            if segment.trust == "open" and stands == "closed":
                return _closed(live, segment, trial.proof, now)
            may = live.trust.opens == "by_itself" or segment.name in accepted
            if stands == "earned" and may and openable(live, segment):
                who = "operator" if segment.name in accepted else "learner"
                return _open(live, segment, trial.proof, now, who)
        return None

    def to_json(self) -> str:
        """The whole state."""
        trials = [[*key, trial.state()] for key, trial in self.trials.items()]
        return json.dumps({"place": list(self.place), "trials": trials})

    @classmethod
    def from_json(cls, text: str, documents: Documents) -> "Trust":
        """Inverse of ``to_json``."""
        state = json.loads(text)
        trust = cls(documents)
        trust.place = tuple(state["place"])
        trust.trials = {
            Key(judge, segment): Trial.restored(trial) for judge, segment, trial in state["trials"]
        }
        return trust


def _segments(document: PolicyDocument) -> list[tuple[Key, SegmentPolicy]]:
    return [(Key(document.judge.judge, each.name), each) for each in document.segments]


def terms(document: PolicyDocument, reach: float = 1.0) -> Terms:
    """Those of a gate under this document; ``reach`` of one query."""
    return Terms(reach, LEVEL / len(document.segments))


def openable(live: PolicyDocument, segment: SegmentPolicy) -> bool:
    """Whether a judge on trial could decide: the policy says at which lambda, and may accept."""
    judging = segment.judging
    return segment.trust == "closed" and judging is not None and not live.uncertified(judging)


def _open(
    live: PolicyDocument, segment: SegmentPolicy, proof: Evidence | None, now: datetime, who: str
) -> PolicyDocument:
    """The judge decides: at the lambda at which it was tried, or at that of the routing which kept
    the objective, if that is lower. The learner goes on from there.
    """
    judging = segment.judging
    assert judging is not None
    if segment.mode == "route":
        judging = judging.replaced(lambda_=min(judging.lambda_, segment.lambda_))
    why = _because("earned", live, segment, proof)
    return _successor(live, judging, "proposal", who, why, now)


def _closed(
    live: PolicyDocument, segment: SegmentPolicy, proof: Evidence | None, now: datetime
) -> PolicyDocument:
    """To the dearest tier at once; the learner finds the arm of routing, if that may serve."""
    judging = segment.judging
    closed = segment.replaced(
        mode="always_cloud",
        lambda_=0.0,
        trust="closed",
        arms=(),
        trial_lambda=judging.lambda_ if judging else None,
    )
    why = _because("closed", live, segment, proof)
    return _successor(live, closed, "retune", "learner", why, now)


def _because(
    standing: str, live: PolicyDocument, segment: SegmentPolicy, proof: Evidence | None
) -> str:
    why = CHANGED[standing].format(live.judge.judge, segment.name)
    return f"{why}: {proof.words}" if proof else why


def _successor(
    live: PolicyDocument,
    segment: SegmentPolicy,
    kind: str,
    author: str,
    reason: str,
    now: datetime,
) -> PolicyDocument:
    segments = tuple(segment if each.name == segment.name else each for each in live.segments)
    said = {"kind": kind, "author": author, "reason": reason, "issued_at": now}
    number = {"version": live.version + 1, "parent": live.version}
    return live.model_copy(update=number | said | {"segments": segments}).rederived()
