"""The served API as its reference client sees it."""

from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from openai.types.chat import ChatCompletionMessageParam

from dataplane.contract.records import Completion, Decision
from dataplane.tiers.base import TierError
from dataplane.tiers.fake import FakeTier
from tests.fronts import Front, served
from tests.policies import DOUBTFUL, policy

QUESTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "12 + 30 ="}]


@pytest.fixture(scope="module")
def front() -> Front:
    return Front(policy("cascade"), local=FakeTier("local", ["42"], logprob=DOUBTFUL))


@pytest.fixture(scope="module")
def url(front: Front) -> Iterator[str]:
    with served(front.app) as base:
        yield f"{base}/v1"


@pytest.fixture
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=url, api_key="all", max_retries=0) as client:
        yield client


def test_a_chat_is_answered(client: OpenAI, front: Front) -> None:
    answer = client.chat.completions.with_raw_response.create(model="penstock", messages=QUESTION)
    completion = answer.parse()
    assert completion.choices[0].message.content == "from cloud"
    assert completion.usage is not None
    assert completion.usage.completion_tokens == len("from cloud")
    decision = answer.headers["x-penstock-decision-id"]
    assert decision in {str(one.id) for one in front.kept.of(Decision)}
    assert answer.headers["x-penstock-tier"] == "cloud"


def test_a_stream_ends_with_its_usage_where_it_was_asked_for(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="penstock",
        messages=QUESTION,
        stream=True,
        stream_options={"include_usage": True},
    )
    *chunks, last = stream
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == "from cloud"
    assert last.choices == []
    assert last.usage is not None
    assert last.usage.total_tokens == 1 + len("from cloud")
    assert all(chunk.usage is None for chunk in chunks)


@pytest.mark.parametrize("model", ["local", "cloud"])
def test_a_stream_without_usage_has_none(client: OpenAI, model: str) -> None:
    stream = client.chat.completions.create(model=model, messages=QUESTION, stream=True)
    chunks = list(stream)
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said == {"local": "42", "cloud": "from cloud"}[model]


def test_the_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["penstock", "local", "cloud"]


def test_an_unknown_model_is_not_found(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        client.chat.completions.create(model="gpt-17", messages=QUESTION)
    assert refused.value.code == "model_not_found"
    assert refused.value.param == "model"


def test_a_bad_body_is_a_bad_request(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(model="penstock", messages=[])
    assert refused.value.param == "messages"
    assert refused.value.type == "invalid_request_error"


def test_without_a_key_nobody_is_served(url: str) -> None:
    with (
        OpenAI(base_url=url, api_key="unknown", max_retries=0) as client,
        pytest.raises(openai.AuthenticationError) as refused,
    ):
        client.chat.completions.create(model="penstock", messages=QUESTION)
    assert refused.value.code == "invalid_api_key"


def test_a_key_without_the_scope_is_forbidden(url: str) -> None:
    with (
        OpenAI(base_url=url, api_key="feedback", max_retries=0) as client,
        pytest.raises(openai.PermissionDeniedError),
    ):
        client.models.list()


class Breaking(FakeTier):
    async def stream(self, request: Any, deadline: float) -> Any:
        yield self._delta({"content": "half"})
        raise TierError("broken", "cut")


def test_a_stream_that_breaks_off_raises_in_the_client() -> None:
    front = Front(cloud=Breaking("cloud"))
    with (
        served(front.app) as base,
        OpenAI(base_url=f"{base}/v1", api_key="all", max_retries=0) as client,
    ):
        stream = client.chat.completions.create(model="cloud", messages=QUESTION, stream=True)
        with pytest.raises(openai.APIError) as broken:
            list(stream)
    assert broken.value.code == "upstream_error"
    assert front.kept.of(Completion)[0].status == "aborted"
