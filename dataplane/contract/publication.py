"""Publication: which policy versions are in force from a moment on, and for what share of traffic.

One that decides nothing may be named too, to be compared with those that do: of the queries that it
might serve otherwise a share is audited and shadowed (``strategies.rivals``). Publications are
numbered without a gap, each naming its parent: their order, not that of the versions, says what is
newer. Naming an older version is a rollback.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError

from dataplane.contract.policy import PolicyDocument
from dataplane.contract.terms import Frozen

CHANNEL = "penstock_policy"  # NOTIFY: a publication, its number as payload


class Part(Frozen):
    """One version, the share of conversations that it decides, and that of the queries of others
    which is drawn to compare it with them.
    """

    version: Annotated[int, Field(ge=1, lt=1 << 31)]
    share: Annotated[float, Field(ge=0, le=1)] = 1.0
    draw: Annotated[float, Field(ge=0, le=1, exclude_if=lambda draw: not draw)] = 0.0


_PARTS = TypeAdapter(Annotated[tuple[Part, ...], Field(min_length=1, max_length=8)])


def parts(in_force: Any) -> tuple[Part, ...]:
    """Check what a publication says is in force; raises ``ValueError`` with the reason."""
    try:
        found = _PARTS.validate_python(in_force)
    except ValidationError as error:
        raise ValueError(f"in_force: {reason(error)}") from error
    if len({part.version for part in found}) != len(found):
        raise ValueError("in_force: a version is named twice")
    if idle := [part.version for part in found if not part.share and not part.draw]:
        raise ValueError(f"in_force: version {idle[0]} has neither a share nor a draw")
    if not math.isclose(math.fsum(part.share for part in found), 1.0, abs_tol=1e-9):
        raise ValueError("in_force: the shares must sum to 1")
    return found


@dataclass(frozen=True, slots=True)
class Rival:
    """What is compared with the policy that decides: of the queries that it might serve otherwise
    a share ``draw`` is audited and shadowed.
    """

    policy: PolicyDocument
    draw: float


@dataclass(frozen=True, slots=True)
class InForce:
    """Validated documents, ready to decide; ``seq`` 0 is the start policy, never published.

    ``draws``: as ``Part.draw``, of each; without them nothing is compared.
    """

    seq: int
    documents: tuple[PolicyDocument, ...]
    shares: tuple[float, ...]
    draws: tuple[float, ...] = ()

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions in force."""
        return tuple(document.version for document in self.documents)

    @property
    def leading(self) -> PolicyDocument:
        """The document with the largest share."""
        return self.documents[self.shares.index(max(self.shares))]

    def document_for(self, conversation: str | None) -> PolicyDocument:
        """The document of a conversation: the same one for as long as the shares stand."""
        if conversation is None or len(self.documents) == 1:
            return self.leading
        return self.documents[_slot(conversation, self.shares)]

    def rivals_of(self, policy: PolicyDocument) -> tuple[Rival, ...]:
        """What is compared with the document that decides a query."""
        compared = zip(self.documents, self.draws, strict=False)
        return tuple(Rival(each, draw) for each, draw in compared if draw and each is not policy)


def _slot(conversation: str, shares: Sequence[float]) -> int:
    hashed = hashlib.sha256(f"penstock share:{conversation}".encode("utf-8", "replace")).digest()
    left = int.from_bytes(hashed[:8]) / (1 << 64)
    for slot, share in enumerate(shares):
        left -= share
        if left < 0:
            return slot
    return len(shares) - 1


def reason(error: ValueError) -> str:
    """Why a document was refused, in one line of at most 500 characters."""
    if isinstance(error, ValidationError):
        found = [
            ".".join(map(str, details["loc"])) + f": {details['msg']}"
            for details in error.errors(include_url=False, include_input=False)[:3]
        ]
        words = "; ".join(found)
    else:
        words = str(error)
    return " ".join(words.split())[:500]
