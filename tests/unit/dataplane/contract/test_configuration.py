import json
from pathlib import Path

import pytest

from dataplane.contract.address import Address
from dataplane.contract.configuration import Configuration, ConfigurationError, json_schema, load
from dataplane.contract.errors import OperatorError
from dataplane.contract.terms import TierTerms

MINIMAL = """\
tiers:
  - name: local
    engine: {model: local.gguf, sha256: none}
    price: {input_usd_per_mtok: 0.1, output_usd_per_mtok: 0.2, billing: none}
  - name: cloud
    provider:
      base_url: https://api.example.com/v1/
      model: big
    price: {input_usd_per_mtok: 1, output_usd_per_mtok: 2}
objective:
  target_quality: 0.9
"""
EXAMPLE = Path(__file__).parents[4] / "penstock.example.yaml"


def configured(
    folder: Path, text: str = MINIMAL, environ: dict[str, str] | None = None
) -> Configuration:
    path = folder / "penstock.yaml"
    path.write_text(text)
    return load(path, environ or {})


def problems(folder: Path, text: str, environ: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        configured(folder, text, environ)
    prefix = f"{folder / 'penstock.yaml'}:"
    assert all(line.startswith(prefix) for line in refused.value.lines)
    return [line.removeprefix(prefix) for line in refused.value.lines]


def test_the_silent_file_gets_the_defaults(tmp_path: Path) -> None:
    found = configured(tmp_path)
    assert found.listen == Address("127.0.0.1", 8080)
    assert found.data_dir == tmp_path / ".penstock"
    assert found.text == "sampled"
    assert found.database_url.get_secret_value() == ""
    assert found.tiers[1].provider is not None
    assert found.tiers[1].provider.base_url == "https://api.example.com/v1"


def test_the_example_is_a_configuration() -> None:
    found = load(EXAMPLE, {"OPENAI_API_KEY": "sk-canary"})
    assert [tier.name for tier in found.tiers] == ["local", "cloud"]
    assert "sk-canary" not in repr(found)
    assert "sk-canary" not in found.model_dump_json()


def more(tiers: int) -> str:
    """The minimal file with so many tiers in between."""
    between = "".join(
        f"  - name: t{n}\n    provider: {{base_url: https://api.example.com, model: m}}\n"
        "    price: {input_usd_per_mtok: 0.5, output_usd_per_mtok: 0.5}\n"
        for n in range(tiers)
    )
    return MINIMAL.replace("  - name: cloud", f"{between}  - name: cloud")


def test_two_to_twelve_tiers_are_ordered_by_price(tmp_path: Path) -> None:
    found = configured(tmp_path, more(10))
    names = [tier.name for tier in found.tiers]
    assert names == ["local", *(f"t{n}" for n in range(10)), "cloud"]
    too_many = problems(tmp_path, more(11))
    assert too_many == ["2:3: tiers: must be 2 to 12, the cheapest first; 13 given"]
    wrong = more(2).replace("0.5", "3", 2)
    assert problems(tmp_path, wrong) == [
        "10:12: tiers[2].price: is below the tier before it; cheapest first"
    ]


def test_a_tier_reads_as_the_policys_terms(tmp_path: Path) -> None:
    tier = configured(tmp_path).tiers[0]
    terms = TierTerms(name=tier.name, **tier.price.model_dump(), **tier.expected.model_dump())
    assert terms.cost_usd(1000, 1000) == 0.0


def test_every_problem_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace("price: {input_usd_per_mtok: 1,", "prise: {input_usd_per_mtok: 1,")
        + "  tolerance: 3\ntext: sometimes\nlisten: 8080\ntext: all\n"
    )
    assert problems(tmp_path, text) == [
        "5:5: tiers[1].price: required, but absent; add it",
        '9:5: tiers[1].prise: unknown key; did you mean "price"?',
        "12:14: objective.tolerance: must be less than or equal to 1",
        "13:7: text: must be 'none', 'sampled' or 'all'",
        '14:9: listen: must be "host:port", such as 127.0.0.1:8080',
        "15:1: text: given twice, first in line 13; keep one",
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("objective:", "objektive:", '10:1: objektive: unknown key; did you mean "objective"?'),
        ("  target_quality", "  xyz: 1\n  target_quality", "unknown key; known are target_quality"),
        ("target_quality: 0.9", "{}", "needs target_quality or ceiling_usd_per_query"),
        ("0.9", "0.9\n  ceiling_usd_per_query: 0.1", "needs target_quality or ceiling"),
        ("target_quality: 0.9", "ceiling_usd_per_query: 0", "must be greater than 0"),
        ("target_quality: 0.9", "{ceiling_usd_per_query: 1, tolerance: 0}", "tolerance goes with"),
        ("name: cloud", "name: local", '5:11: tiers[1].name: "local" is taken'),
        ("name: cloud", "name: judge", "5:5: tiers[1]: \"judge\" is an action's name"),
        ("https://api.example.com", "http://169.254.169.254", "7:17: tiers[1].provider.base_url"),
        ("https://api.example.com", "ftp://example.com", "must be an http:// or https:// URL"),
        ("engine: {model: local.gguf, sha256: none}", "timeout_s: 1", "needs either engine or pro"),
        ("input_usd_per_mtok: 1, output", "input_usd_per_mtok: .nan, output", "finite number"),
        ("sha256: none", "sha256: abc", "tiers[0].engine.sha256: string should match"),
        ("{input_usd_per_mtok: 1, output_usd_per_mtok: 2}", "[]", "tiers[1].price: must be keys"),
        ("1, output_usd_per_mtok: 2", ".05, output_usd_per_mtok: .1", "tiers[1].price: is below"),
        ("objective:", "judge: {tier: cloud}\nobjective:", '10:15: judge.tier: "cloud" is also'),
        ("objective:", "judge: {tier: other}\nobjective:", '10:15: judge.tier: must be the first'),
        ("objective:", "a: &x 1\nb: *x\nobjective:", "11:4: aliases are not supported"),
        ("objective:", "objective: [", "while parsing a"),
        ("objective:", "text: !!python/name:os.system\nobjective:", "10:7: text: cannot be read"),
        ("objective:", "text: ${TEXT}\nobjective:", "10:7: text: TEXT is not set in the environm"),
        ("objective:", "text: ${TEXT:?say which}\nobjective:", "in the environment: say which"),
        ("objective:", "text: ${TEXT\nobjective:", "10:7: text: unfinished ${...}"),
        ("objective:", "database_url: file:/nowhere\nobjective:", "cannot read the secret from /"),
        (MINIMAL, "- 1\n- 2\n", "1:1: must be keys and values"),
        (MINIMAL, "", "1:1: tiers: required, but absent; add it"),
        (MINIMAL, "a: \x01", "1:1: holds a character that YAML refuses"),
        (MINIMAL, "[" * 5000, "1:1: is nested too deeply"),
    ],
)  # fmt: skip
def test_a_problem_names_the_thing_and_the_remedy(
    tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in MINIMAL
    found = problems(tmp_path, MINIMAL.replace(old, new, 1))
    assert any(problem in line for line in found), found


def test_an_absent_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match=r"penstock\.yaml: No such file .*; write one: "):
        load(tmp_path / "penstock.yaml")


def test_a_file_that_is_not_text_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigurationError, match="not UTF-8 text"):
        load(tmp_path / "penstock.yaml")


def test_the_environment_speaks_where_the_file_is_silent(tmp_path: Path) -> None:
    url = "postgresql://owner:canary@db/penstock"
    found = configured(tmp_path, environ={"DATABASE_URL": url, "DATABASE_URL_DATAPLANE": "x"})
    assert found.database_url.get_secret_value() == url
    assert found.database_url_dataplane.get_secret_value() == "x"
    written = configured(tmp_path, MINIMAL + "database_url: ''\n", {"DATABASE_URL": url})
    assert written.database_url.get_secret_value() == ""


def test_substitution(tmp_path: Path) -> None:
    text = MINIMAL + "limits:\n  max_tokens: ${MAX:-77}\ndata_dir: ${HOME_OF}/$${x}\n"
    found = configured(tmp_path, text, {"HOME_OF": "/var", "MAX": ""})
    assert found.limits.max_tokens == 77
    assert found.data_dir == Path("/var/${x}")


def test_a_substituted_value_cannot_bring_keys(tmp_path: Path) -> None:
    lines = problems(tmp_path, MINIMAL + "text: ${TEXT}\n", {"TEXT": "all\nlisten: x:1"})
    assert lines == ["12:7: text: must be 'none', 'sampled' or 'all'"]


def test_a_secret_comes_from_a_file_and_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("sk-canary\n")
    text = MINIMAL.replace("model: big", "model: big\n      api_key: file:key")
    provider = configured(tmp_path, text).tiers[1].provider
    assert provider is not None
    assert provider.api_key.get_secret_value() == "sk-canary"
    assert "canary" not in repr(provider)


def test_a_wrong_secret_is_not_shown_either(tmp_path: Path) -> None:
    text = MINIMAL.replace("model: big", "model: big\n      api_key: [canary]")
    assert "canary" not in "".join(problems(tmp_path, text))


def test_a_configuration_does_not_change(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="frozen"):
        configured(tmp_path).text = "all"  # type: ignore[misc]  # the point of the test


def test_the_schema_knows_every_key() -> None:
    schema = json_schema()
    assert set(schema["properties"]) == set(Configuration.model_fields)
    assert schema["additionalProperties"] is False
    assert json.loads(json.dumps(schema)) == schema


@pytest.mark.parametrize(
    ("bandit", "said"),
    [
        ("exp3", "exp3 is refused: River's fails when a label comes before its first pull"),
        ("bayes_ucb", "bayes_ucb is refused: River's counts every reward but 0 as a full success"),
    ],
)
def test_a_bandit_that_cannot_work_is_refused_with_the_reason(
    tmp_path: Path, bandit: str, said: str
) -> None:
    (problem,) = problems(tmp_path, MINIMAL + f"learner:\n  bandit: {bandit}\n")
    assert problem.startswith(f"13:11: learner.bandit: {said}")
    assert problem.endswith("choose policy_family, ucb, thompson, epsilon_greedy or linucb")


def test_an_unknown_bandit_is_told_which_there_are(tmp_path: Path) -> None:
    assert problems(tmp_path, MINIMAL + "learner:\n  bandit: softmax\n") == [
        "13:11: learner.bandit: must be 'policy_family', 'ucb', 'thompson', 'epsilon_greedy'"
        " or 'linucb'"
    ]
    assert configured(tmp_path, MINIMAL + "learner: {bandit: ucb}\n").learner.bandit == "ucb"


def test_a_certificate_and_a_width_are_asked_for(tmp_path: Path) -> None:
    text = MINIMAL + "  wrong_acceptances: {limit: 0.03}\naudit: {width: 0.015}\n"
    found = configured(tmp_path, text)
    asked = found.objective.stated()["wrong_acceptances"]
    assert asked == {"limit": 0.03, "confidence": 0.9}
    assert found.audit.width == 0.015
    wrong = MINIMAL + "  wrong_acceptances: {limit: 0}\n"
    assert problems(tmp_path, wrong)[0].startswith("12:30: objective.wrong_acceptances.limit: must")
