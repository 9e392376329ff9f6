import httpx
import pytest

from dashboard import control
from dashboard.control import Control, ControlUnavailable, Refused
from dashboard.person import Person

KEY = "pk_canary_secret"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[httpx.Request]:
    """What was asked of a control plane that takes everything but a freeze."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.path == "/v1/freeze":
            return httpx.Response(403, json={"error": {"message": "this key lacks 'admin'"}})
        if request.url.path == "/broken":
            return httpx.Response(502, text="<html>")
        return httpx.Response(200, json={"live": 7})

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(control, "_client", lambda: client)
    monkeypatch.setenv("PENSTOCK_CONTROL_URL", "http://control")
    monkeypatch.setenv("PENSTOCK_OPERATOR_KEY", KEY)
    return requests


def test_a_call_carries_the_key_of_the_role_and_the_persons_name(
    asked: list[httpx.Request],
) -> None:
    ann = Control(Person("ann@example.org", "operator"))
    assert ann.get("/v1/policies", limit=3) == {"live": 7}
    (request,) = asked
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["x-penstock-person"] == "ann@example.org"
    assert request.url.query == b"limit=3"


@pytest.mark.parametrize(
    ("path", "says"), [("/v1/freeze", "this key lacks 'admin'"), ("/broken", "502 to /broken")]
)
def test_a_refusal_is_told_in_the_control_planes_words(
    asked: list[httpx.Request], path: str, says: str
) -> None:
    with pytest.raises(ControlUnavailable, match=says) as told:
        Control(Person("ann", "operator")).post(path, {})
    assert KEY not in str(told.value)


def test_a_name_of_other_letters_is_percent_encoded(asked: list[httpx.Request]) -> None:
    Control(Person("zo\u00eb@example.org", "operator")).get("/")
    assert asked[0].headers["x-penstock-person"] == "zo%C3%AB@example.org"


def test_what_would_be_refused_again_is_told_from_what_may_pass(
    asked: list[httpx.Request],
) -> None:
    ann = Control(Person("ann", "operator"))
    with pytest.raises(Refused):
        ann.post("/v1/freeze", {})
    with pytest.raises(ControlUnavailable) as told:
        ann.post("/broken", {})
    assert not isinstance(told.value, Refused)


def test_what_is_not_set_is_named(
    asked: list[httpx.Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ControlUnavailable, match="PENSTOCK_REVIEWER_KEY is unset"):
        Control(Person("bob", "reviewer")).get("/")
    monkeypatch.delenv("PENSTOCK_CONTROL_URL")
    with pytest.raises(ControlUnavailable, match="PENSTOCK_CONTROL_URL is unset"):
        Control(Person("ann", "operator")).get("/")
    assert not asked


def test_a_control_plane_that_is_not_there_is_told_in_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PENSTOCK_CONTROL_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("PENSTOCK_OPERATOR_KEY", KEY)
    with pytest.raises(ControlUnavailable, match=r"127\.0\.0\.1:1 does not answer") as told:
        Control(Person("ann", "operator")).get("/")
    assert "\n" not in str(told.value)
    assert KEY not in str(told.value)
