"""A certified cutoff is too loose no more often than it says, and not much too strict.

Scores and losses are SIMULATED (``tests/certificates.py``).
"""

import numpy as np
import pytest

from tests.certificates import DELTA, attempt, best_accepted

RUNS = 500


def test_the_best_cutoff_accepts_as_much_as_it_is_said_to() -> None:
    assert best_accepted() == pytest.approx(0.65, abs=0.02)


@pytest.mark.parametrize(("labels", "accepts"), [(100, 0.40), (300, 0.52), (1000, 0.57)])
def test_a_certificate_is_wrong_within_delta_and_accepts_nearly_what_it_could(
    labels: int, accepts: float
) -> None:
    rng = np.random.default_rng(labels)
    made = [attempt(rng, labels) for _ in range(RUNS)]
    violated, naive = np.mean([(each.violated, each.naive_violated) for each in made], axis=0)
    accepted = np.mean([each.accepted for each in made])
    print(f"violated {violated:.3f} accepts {accepted:.3f}")  # noqa: T201 - shown by -rP: figures
    assert violated <= DELTA
    assert accepted >= accepts
    assert naive > 0.3
