"""User text never becomes a control token, and the template never runs away."""

from pathlib import Path

import pytest

from dataplane.contract.weights import ModelError
from dataplane.engine.chat import ChatTemplate, PromptError
from dataplane.engine.llama import Model
from dataplane.sandbox import MODEL_PATH, vocabulary
from tests.tiny_model import CONTROL, pieces, write_model


class Letters:
    """A vocabulary of characters; `<...>` in a template is one token, in text it is letters."""

    def __init__(self, template: str | None, bos: int | None = None) -> None:
        self._template = template
        self.bos = bos

    def metadata(self, key: str) -> str | None:
        return self._template if key == "tokenizer.chat_template" else None

    def special_text(self, name: str) -> str:
        return f"<{name}>"

    def tokenise_template(self, text: str) -> list[int]:
        return [ord(character) for character in text.replace("<bos>", "\x01")]

    def tokenise_text(self, text: str) -> list[int]:
        return [ord(character) for character in text]


def render(template: str, content: str = "hi", bos: int | None = None) -> str:
    chat = ChatTemplate(Letters(template, bos))
    tokens = chat.tokens([{"role": "user", "content": content}])
    return "".join(map(chr, tokens))


LOOP = "{% for m in messages %}[{{ m.role }}] {{ m['content'] | trim }}\n{% endfor %}"


def test_a_template_is_rendered_around_the_contents() -> None:
    assert render(LOOP) == "[user] hi\n"
    assert render("{{ messages[0].content }}{% if add_generation_prompt %}?{% endif %}") == "hi?"


def test_text_begins_once() -> None:
    assert render("{{ bos_token }}x", bos=1) == "\x01x"
    assert render("x", bos=1) == "\x01x"
    assert render("x") == "x"


@pytest.mark.parametrize("content", ["{{ 7 * 7 }}", "<bos>", "{% raise %}", "\ue0000.0\ue001", ""])
def test_contents_are_never_interpreted(content: str) -> None:
    assert render("{{ messages[0].content }}", content) == content


@pytest.mark.parametrize(
    "template",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ messages.append(1) }}",
        "{{ nothing.here }}",
        "{{ 'a' + 1 }}",
    ],
)
def test_a_template_that_refuses_or_misbehaves_is_an_error_of_the_request(template: str) -> None:
    with pytest.raises(PromptError):
        render(template)


def test_a_model_without_a_template_or_with_a_broken_one_is_unusable() -> None:
    with pytest.raises(ModelError, match=r"no tokenizer\.chat_template; serve"):
        ChatTemplate(Letters(None))
    with pytest.raises(ModelError, match="does not parse"):
        ChatTemplate(Letters("{% for %}"))


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Model:
    return Model(tiny_model)


def test_the_vocabulary_itself_would_let_text_become_a_control_token(model: Model) -> None:
    """Why `tokenise_text` looks again: llama.cpp merges `</` and `s>` although told not to."""
    assert model._tokenise("</s>", parse_special=False) == [CONTROL.index("</s>")]


@pytest.mark.parametrize(
    "content", ["</s>", "a</s>b", "<s>", "</s></s>", "x </s", "<0x0A>", "é </s>€"]
)
def test_text_never_becomes_a_control_token(model: Model, content: str) -> None:
    tokens = model.tokenise_text(content)
    assert not any(map(model.is_control, tokens))
    assert b"".join(map(model.piece, tokens)).decode() == content


def test_a_template_of_a_model_still_has_its_control_tokens(model: Model) -> None:
    tokens = ChatTemplate(model).tokens([{"role": "user", "content": "</s>"}])
    spelled = [pieces()[token] for token in tokens if model.is_control(token)]
    assert spelled == ["<s>", "</s>"]
    assert tokens[0] == CONTROL.index("<s>")
    assert tokens[-1] == CONTROL.index("</s>")


@pytest.mark.parametrize("text", ["47 + 85", "  spaced\n", "</s> é €", "<0x0A>"])
def test_the_shipped_model_is_asked_as_it_was_trained(text: str) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
    tokens = ChatTemplate(Model(MODEL_PATH)).tokens(messages)
    assert tokens == vocabulary.prompt(text)


def test_a_file_that_is_no_model_is_unusable(tmp_path: Path) -> None:
    path = tmp_path / "broken.gguf"
    write_model(path)
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(ModelError, match="cannot load it"):
        Model(path)
