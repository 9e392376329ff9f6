"""`penstock prior`, as a person types it, and what a learner then makes of it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from controlplane.cli import app
from controlplane.learn.prior import Prior, read
from controlplane.learn.quality import QualityPredictor
from dataplane.contract.errors import OperatorError
from dataplane.features import of_text

HEAD = "query_id,prompt,model,correct,cost_usd"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Sums are right locally, proofs are not; the cloud is always right."""
    lines = [HEAD]
    for number in range(200):
        prompt = f"sum {number}" if number % 2 else f"proof {number}"
        lines.append(f"q{number},{prompt},small,{number % 2},0.001")
        lines.append(f"q{number},{prompt},large,1,0.01")
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines))
    return path


def penstock(*words: str | Path) -> tuple[int, str, BaseException | None]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.output, done.exception


def test_a_recording_becomes_a_prior(recording: Path, tmp_path: Path) -> None:
    out = tmp_path / "prior.json"
    code, said, _ = penstock(
        "prior", recording, "--local", "small", "--cloud", "large", "--out", out
    )
    assert code == 0
    assert "200 queries; local right 0.500, cloud 1.000; trusted like 200 labels" in said
    assert read(out, 2).labels == 200


def test_a_category_that_queries_will_name_is_learned(tmp_path: Path) -> None:
    lines = [HEAD + ",category"]
    for number in range(200):
        kind, right = ("sums", 1) if number % 2 else ("proofs", 0)
        lines.append(f"q{number},query {number},small,{right},0.001,{kind}")
        lines.append(f"q{number},query {number},large,1,0.01,{kind}")
    path, out = tmp_path / "log.csv", tmp_path / "prior.json"
    path.write_text("\n".join(lines))
    names = ("--local", "small", "--cloud", "large", "--out", out)
    assert penstock("prior", path, *names, "--category")[0] == 0
    predictor = QualityPredictor.restore(read(out, 2).predictors[0])
    sums, proofs = (predictor.predict(of_text("query 7", kind)) for kind in ("sums", "proofs"))
    assert sums - proofs > 0.5


def test_a_replay_takes_it(recording: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "prior.json", tmp_path / "told.json"
    names = ("--local", "small", "--cloud", "large")
    penstock("prior", recording, *names, "--out", out)
    code, _, _ = penstock(
        "replay", recording, *names, "--target", "0.9", "--prior", out, "--json", told
    )
    assert code == 0
    assert json.loads(told.read_text())["queries"] == 200


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--local", "tiny"), 'no model "tiny"; its models are large, small'),
        (("--out", "nowhere/prior.json"), "cannot write nowhere/prior.json: No such file"),
    ],
)
def test_bad_input_is_one_line(
    recording: Path, tmp_path: Path, words: tuple[str, str], complaint: str
) -> None:
    usual = {"--local": "small", "--cloud": "large", "--out": str(tmp_path / "p.json")}
    given = [word for pair in (usual | {words[0]: words[1]}).items() for word in pair]
    _, _, raised = penstock("prior", recording, *given)
    assert isinstance(raised, OperatorError)
    assert complaint in str(raised)
    assert "\n" not in str(raised)


def test_a_file_that_is_no_prior_is_named(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("[]")
    with pytest.raises(
        OperatorError, match=r"p.json: not a prior .*; fit one with `penstock prior`"
    ):
        read(path, 2)
    with pytest.raises(OperatorError, match="cannot read the prior"):
        read(tmp_path / "none.json", 2)
    assert isinstance(Prior.from_json(Prior().to_json()), Prior)
    path.write_text(Prior().of(2).to_json())
    with pytest.raises(OperatorError, match="a prior of 2 tiers, and there are 3: fit it anew"):
        read(path, 3)
