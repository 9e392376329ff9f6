"""The sandbox model's tokens: control tokens, the 256 bytes, and the space.

llama.cpp's SPM tokenizer spells a character it has no piece for as its UTF-8 bytes and writes a
space as ``▁``. With only these pieces there is nothing to merge: text is bytes, and no text, not
even ``</s>``, can become a control token.
"""

from typing import Final

UNKNOWN: Final = 0
BOS: Final = 1
EOS: Final = 2
_FIRST_BYTE: Final = 3
_SPACE: Final = _FIRST_BYTE + 256

CONTROL: Final = ("<unk>", "<s>", "</s>")
PIECES: Final = (*CONTROL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁")
"""The text of each token, by id."""


def encode(text: str) -> list[int]:
    """Token ids of `text`, as llama.cpp gives them (no BOS)."""
    return [
        _SPACE if byte == 0x20 else _FIRST_BYTE + byte for byte in text.replace("▁", " ").encode()
    ]


def decode(tokens: list[int]) -> str:
    """Text of `tokens`; control tokens have none."""
    spelled = (0x20 if token == _SPACE else token - _FIRST_BYTE for token in tokens)
    return bytes(byte for byte in spelled if byte >= 0).decode(errors="replace")


def prompt(text: str) -> list[int]:
    """Tokens that ask the model `text`: what the chat template renders, after BOS."""
    return [BOS, *encode(f"{text}\n")]
