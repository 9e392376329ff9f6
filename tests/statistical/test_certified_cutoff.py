"""A served cutoff is too loose no more often than its certificate says, at any of its attempts.

Scores and losses are SIMULATED (``tests/certificates.py``); pairs come as the audit draws them.
"""

from uuid import UUID

import numpy as np

from controlplane.audit.certificates import LABELS, SCORES, Ground
from dataplane.contract.terms import WrongAcceptances
from tests.certificates import DELTA, LIMIT, losses

RUNS = 300
ASKED = WrongAcceptances(limit=LIMIT, confidence=1 - DELTA)
LOWEST = -20.0


def test_no_certificate_of_three_attempts_is_wrong_more_often_than_delta() -> None:
    rng = np.random.default_rng(8)
    score, lost = losses(rng, 400_000)
    order = np.argsort(score)
    risk = np.cumsum(lost[order][::-1])[::-1] / len(score)  # of accepting from each score up
    wrong, accepted = 0, []
    for _ in range(RUNS):
        ground = Ground(judge="simulated")
        for each in losses(rng, SCORES)[0]:
            ground.saw(float(each))
        ground.freeze(UUID(int=1))
        violated = False
        for score_, lost_ in zip(*losses(rng, 4 * LABELS), strict=True):
            ground.add(float(score_), bool(lost_))
            if ground.due:
                ground.attempt(ASKED, LOWEST)
                held = ground.certificate
                if held is None:
                    continue
                place = np.searchsorted(score[order], held.score)
                violated |= bool(risk[place] > LIMIT)
        wrong += violated
        accepted.append(ground.certificate.accepted if ground.certificate else 0.0)
    print(f"ever wrong {wrong / RUNS:.3f} accepts {np.mean(accepted):.3f}")  # noqa: T201 - shown by -rP: figures
    assert wrong / RUNS <= DELTA
    assert np.mean(accepted) >= 0.5
