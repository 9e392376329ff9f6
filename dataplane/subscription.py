"""Subscription: the policy in force here, always validated, never older than the last good one.

A publication is put in force whole or refused whole. The order is: validate, write to disk, swap,
answer (ACK or NACK); so what decides has been validated, and is found again after a crash.
"""

import json
import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic
from typing import Any, Literal

from dataplane import snapshot
from dataplane.contract.policy import MAX_BYTES, PolicyDocument
from dataplane.contract.publication import CHANNEL, InForce, Part, Rival, parts, reason
from dataplane.feed import Connection

NEWEST = """
SELECT seq, in_force, published_at,
    extract(epoch FROM clock_timestamp() - published_at)::float8 AS age_s
FROM publications ORDER BY seq DESC LIMIT 1
"""
DOCUMENTS = """
SELECT version, digest, octet_length(document) AS bytes,
    CASE WHEN octet_length(document) <= %(most)s THEN document END AS document
FROM policies WHERE version = ANY(%(versions)s)
"""
ANSWER = """
INSERT INTO policy_acks (plane, seq, version, status, reason)
VALUES (%(plane)s, %(seq)s, %(version)s, %(status)s, %(reason)s) ON CONFLICT DO NOTHING
"""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Stored:
    """A document as the store holds it; ``document`` is None where it is too large to fetch."""

    digest: str
    bytes: int
    document: str | None


@dataclass(frozen=True, slots=True)
class Offer:
    """A publication as it was fetched: nothing in it is trusted yet."""

    seq: int
    in_force: Any
    published_at: str
    documents: Mapping[int, Stored]

    def to_json(self) -> str:
        """As the snapshot keeps it."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, body: str) -> "Offer":
        """Read a snapshot's body; raises ``ValueError``, ``KeyError`` or ``TypeError``."""
        found = json.loads(body)
        documents = {int(version): Stored(**one) for version, one in found["documents"].items()}
        return cls(found["seq"], found["in_force"], found["published_at"], documents)


@dataclass(frozen=True, slots=True)
class Verdict:
    """The answer to one version of a publication; version 0: the publication itself."""

    seq: int
    version: int
    status: Literal["ack", "nack"]
    reason: str | None = None


class RefusedError(ValueError):
    """A publication that cannot be put in force; ``version`` is the one at fault."""

    def __init__(self, version: int, why: str) -> None:
        super().__init__(why)
        self.version = version


def admit(offer: Offer, tiers: Collection[str]) -> InForce:
    """Validate a publication for a data plane with these tiers; raises ``RefusedError``."""
    try:
        named = parts(offer.in_force)
    except ValueError as error:
        raise RefusedError(0, reason(error)) from error
    documents = tuple(_document(offer, part, tiers) for part in named)
    shares, draws = tuple(part.share for part in named), tuple(part.draw for part in named)
    return InForce(offer.seq, documents, shares, draws)


def _document(offer: Offer, part: Part, tiers: Collection[str]) -> PolicyDocument:
    stored = offer.documents.get(part.version)
    try:
        if stored is None:
            raise ValueError("no such version is stored")
        return _validated(stored, part.version, tiers)
    except ValueError as error:
        raise RefusedError(part.version, reason(error)) from error


def _validated(stored: Stored, version: int, tiers: Collection[str]) -> PolicyDocument:
    if stored.document is None or stored.bytes > MAX_BYTES:
        raise ValueError(f"document of {stored.bytes} bytes: at most {MAX_BYTES} are accepted")
    document = PolicyDocument.from_json(stored.document)
    if document.version != version:
        raise ValueError(f"document says version {document.version}, its row {version}")
    if document.digest() != stored.digest:
        raise ValueError("document does not match its digest")
    unknown = {tier.name for tier in document.tiers}.difference(tiers)
    if unknown:
        raise ValueError(f"unknown tiers here: {', '.join(sorted(unknown))}")
    return document


class Subscription:
    """The policy in force; a source of the feed.

    ``plane`` signs the answers, ``tiers`` are those that this data plane has, ``start`` decides
    until there is anything better.
    """

    channel = CHANNEL

    def __init__(
        self, path: Path, *, plane: str, tiers: Collection[str], start: PolicyDocument
    ) -> None:
        self._path = path
        self._plane = plane
        self._tiers = frozenset(tiers)
        self._refused = 0
        self._odd = 0
        self._unsent: list[Verdict] = []
        self._confirmed = monotonic()
        self._put(InForce(0, (start,), (1.0,)), start.issued_at)
        self._resume()

    @property
    def current(self) -> InForce:
        """What is in force now: hold on to it for the length of a query."""
        return self._current

    def policy_for(self, conversation: str | None) -> PolicyDocument:
        """The document that decides for a conversation (without one: give the decision's id)."""
        return self._current.document_for(conversation)

    def rivals_of(self, policy: PolicyDocument) -> tuple[Rival, ...]:
        """What is compared with the document that decides."""
        return self._current.rivals_of(policy)

    @property
    def policy_age_seconds(self) -> float:
        """Seconds since what is in force was published; rises while nothing newer comes."""
        return self._age_s + monotonic() - self._since

    @property
    def unconfirmed_seconds(self) -> float:
        """Seconds since the store last said what is newest, or since the beginning before that."""
        return monotonic() - self._confirmed

    def refresh(self, connection: Connection) -> None:
        """Fetch what is newer, put it in force or refuse it, and answer; see ``feed.Source``."""
        newest = connection.execute(NEWEST).fetchone()
        self._confirmed = monotonic()
        if newest is not None:
            self._notice(newest["seq"])
            if newest["seq"] > max(self._current.seq, self._refused):
                self.consider(_fetch(connection, newest), newest["age_s"])
        self._answer(connection)

    def _notice(self, newest: int) -> None:
        """Say once that the store went back in time: another database, or a restored one."""
        if newest < self._current.seq != self._odd:
            self._odd = self._current.seq
            log.error(
                "the store's newest publication is %d, but %d is in force: if the database was "
                "replaced, delete %s and restart",
                newest,
                self._current.seq,
                self._path,
            )

    def consider(self, offer: Offer, age_s: float = 0.0) -> tuple[Verdict, ...]:
        """Put an offer in force or refuse it; one that is not newer is passed over."""
        if offer.seq <= max(self._current.seq, self._refused):
            return ()
        try:
            found = admit(offer, self._tiers)
        except RefusedError as refusal:
            verdicts = self._refuse(offer, refusal)
        else:
            self._write(offer)
            self._put(found, age_s)
            verdicts = _acks(found)
            log.info("policy %s is in force (publication %d)", found.versions, found.seq)
        self._unsent += verdicts
        return verdicts

    def _refuse(self, offer: Offer, refusal: RefusedError) -> tuple[Verdict, ...]:
        self._refused = offer.seq
        why, at_fault = str(refusal), refusal.version
        log.error("publication %d is refused: version %d: %s", offer.seq, at_fault, why)
        others = set(offer.documents) - {at_fault} if at_fault else set()
        besides = f"not put in force, because version {at_fault} was refused"
        return (
            Verdict(offer.seq, at_fault, "nack", why),
            *(Verdict(offer.seq, version, "nack", besides) for version in sorted(others)),
        )

    def _put(self, found: InForce, published: float | datetime) -> None:
        if isinstance(published, datetime):
            published = (datetime.now(UTC) - published).total_seconds()
        self._age_s, self._since = max(0.0, published), monotonic()
        self._current = found

    def _resume(self) -> None:
        body = snapshot.read(self._path)
        if body is None:
            return
        try:
            offer = Offer.from_json(body)
            found = admit(offer, self._tiers)
            self._put(found, datetime.fromisoformat(offer.published_at))
        except (ValueError, KeyError, TypeError) as error:
            log.error("the last good policy in %s cannot be used: %s", self._path, error)
            return
        self._unsent += _acks(found)  # the crash may have come before the answer

    def _write(self, offer: Offer) -> None:
        try:
            snapshot.write(self._path, offer.to_json())
        except OSError as error:
            log.error("the policy could not be kept in %s: %s", self._path, error)

    def _answer(self, connection: Connection) -> None:
        while self._unsent:
            connection.execute(ANSWER, asdict(self._unsent[0]) | {"plane": self._plane})
            del self._unsent[0]


def _acks(found: InForce) -> tuple[Verdict, ...]:
    return tuple(Verdict(found.seq, version, "ack") for version in found.versions)


def _fetch(connection: Connection, newest: Mapping[str, Any]) -> Offer:
    try:
        versions = [part.version for part in parts(newest["in_force"])]
    except ValueError:
        versions = []
    rows = connection.execute(DOCUMENTS, {"most": MAX_BYTES, "versions": versions}).fetchall()
    stored = {row["version"]: Stored(row["digest"], row["bytes"], row["document"]) for row in rows}
    published_at = newest["published_at"].isoformat()
    return Offer(newest["seq"], newest["in_force"], published_at, stored)
