"""What the control plane takes from the environment."""

from datetime import timedelta

import pytest

from controlplane.settings import LABEL_EXPIRY_S, label_terms
from dataplane.contract.errors import OperatorError


def test_label_terms_have_defaults_and_can_be_set() -> None:
    assert label_terms({}).expiry == timedelta(days=7)
    assert label_terms({LABEL_EXPIRY_S: "30"}).expiry == timedelta(seconds=30)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "1e400"])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=LABEL_EXPIRY_S):
        label_terms({LABEL_EXPIRY_S: text})
