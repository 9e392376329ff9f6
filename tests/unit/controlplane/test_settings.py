"""What the control plane takes from the environment."""

from datetime import timedelta

import pytest
from pydantic import ValidationError

from controlplane.rollups import KEPT
from controlplane.settings import LABEL_EXPIRY_S, label_terms, settings
from dataplane.contract.configuration import load
from dataplane.contract.errors import OperatorError
from dataplane.contract.sections import Sums
from tests.command import EXAMPLE


def test_label_terms_have_defaults_and_can_be_set() -> None:
    assert label_terms({}).expiry == timedelta(days=7)
    assert label_terms({LABEL_EXPIRY_S: "30"}).expiry == timedelta(seconds=30)


@pytest.mark.parametrize("text", ["soon", "-1", "0", "nan", "1e400"])
def test_what_is_no_number_of_seconds_is_refused(text: str) -> None:
    with pytest.raises(OperatorError, match=LABEL_EXPIRY_S):
        label_terms({LABEL_EXPIRY_S: text})


def test_sums_are_kept_as_stated_and_for_as_long_as_pages_look_back() -> None:
    database = {"DATABASE_URL_CONTROLPLANE": "postgresql://localhost/x"}
    stated = load(EXAMPLE, {"OPENAI_API_KEY": "sk", **database})
    assert settings(stated, {}).sums_kept == KEPT
    shorter = stated.model_copy(update={"sums": Sums(kept_days=40)})
    assert settings(shorter, {}).sums_kept == timedelta(days=40)
    with pytest.raises(ValidationError, match="greater than or equal to 32"):
        Sums(kept_days=31)
