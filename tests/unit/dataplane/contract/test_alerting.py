"""The section ``alerts``: what it takes, what it refuses, and that it shows no secret."""

import doctest
from pathlib import Path

import pytest

from dataplane.contract import alerting
from dataplane.contract.alerting import SEEN_BY_A_PERSON, signing_key
from dataplane.contract.configuration import Configuration, ConfigurationError, load
from tests.unit.dataplane.contract.test_configuration import EXAMPLE, MINIMAL

SECRET = "whsec_" + "Y2Fu" * 8
SECTION = "alerts: {{webhook: '{url}', secret: '{secret}'{more}}}\n"


def configured(
    folder: Path, url: str = "https://a.example.com/x?t=1", secret: str = SECRET, more: str = ""
) -> Configuration:
    path = folder / "penstock.yaml"
    path.write_text(MINIMAL + SECTION.format(url=url, secret=secret, more=more))
    return load(path, {"ALERTS_SECRET": SECRET})


def test_examples() -> None:
    ran = doctest.testmod(alerting)
    assert (ran.attempted, ran.failed) == (1, 0)


def test_without_the_section_nobody_is_told() -> None:
    assert load(EXAMPLE, {"OPENAI_API_KEY": "k"}).alerts is None


def test_what_the_example_shows_is_a_section(tmp_path: Path) -> None:
    commented = EXAMPLE.read_text().partition("\n# alerts:")[2]
    lines = ["alerts:", *(line.removeprefix("#") for line in commented.splitlines()[1:])]
    (tmp_path / "penstock.yaml").write_text(MINIMAL + "\n".join(lines))
    found = load(tmp_path / "penstock.yaml", {"PENSTOCK_ALERTS_SECRET": SECRET}).alerts
    assert found is not None
    assert found.kinds == SEEN_BY_A_PERSON
    assert found.deployment == "penstock"


def test_the_secret_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    found = configured(tmp_path, secret="${ALERTS_SECRET}", more=", kinds: [alarm]").alerts
    assert found is not None
    assert (found.url, found.key) == ("https://a.example.com/x?t=1", b"can" * 8)
    assert found.kinds == ("alarm",)
    for shown in (repr(found), found.model_dump_json()):
        assert "whsec" not in shown
        assert "a.example.com" not in shown


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"url": "ftp://a.example.com"}, "must be an http:// or https:// URL"),
        ({"url": "https://user:canary@a.example.com"}, "must be without credentials"),
        ({"url": "http://169.254.169.254/latest"}, "is a link-local address"),
        ({"url": "http://0xa9fea9fe/latest"}, "is a link-local address"),
        ({"secret": "canary"}, "must be whsec_ and 24 to 64 random bytes"),
        ({"secret": "whsec_" + "Y2Fu" * 7}, "must be whsec_ and 24 to 64 random bytes"),
        ({"secret": "whsec_" + "Y2Fu" * 22}, "must be whsec_ and 24 to 64 random bytes"),
        ({"more": ", kinds: []"}, "must name one at least"),
        ({"more": ", kinds: [Alarm]"}, "should match pattern"),
        ({"more": ", deployment: a.b"}, "should match pattern"),
        ({"more": ", hook: x"}, 'did you mean "webhook"?'),
    ],
)
def test_what_is_wrong_is_told_without_the_secret(
    tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError) as refused:
        configured(tmp_path, **wrong)
    (line,) = refused.value.lines
    assert said in line
    assert "canary" not in line


def test_a_key_may_come_without_its_prefix() -> None:
    assert signing_key("QUFB" * 8) == signing_key("whsec_" + "QUFB" * 8) == b"A" * 24
