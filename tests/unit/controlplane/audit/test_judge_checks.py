"""Whose family a judge is of, and what that means."""

import pytest

from controlplane.audit.judge_checks import family, kindred, warn

MODELS = {"local": "Meta-Llama-3.1-8B-Instruct.Q4_K_M.gguf", "cloud": "gpt-4o-2024-08-06"}


@pytest.mark.parametrize(
    ("model", "maker"),
    [
        ("claude-3-5-sonnet-latest", "Anthropic"),
        ("mistralai/Mixtral-8x7B-Instruct-v0.1", "Mistral"),
        ("o3-mini", "OpenAI"),
        ("Qwen2.5-7B", "Alibaba"),
        ("models/penstock-sandbox", "penstock"),
    ],
)
def test_a_name_tells_the_maker(model: str, maker: str) -> None:
    assert family(model) == maker


def test_a_judge_of_a_tiers_family_is_warned_of() -> None:
    assert kindred("llm", ["gpt-4o-mini"], MODELS, "local") == ("cloud",)
    assert kindred("llm", ["claude-3-haiku"], MODELS, "local") == ()
    assert kindred("llm", [], MODELS, "local") == ()
    assert kindred("logprob", [], MODELS, "local") == ("local",)
    assert warn("llm", ()) is None
    assert "family of cloud" in str(warn("llm", ("cloud",)))
    assert "own confidence" in str(warn("logprob", ("local",)))
