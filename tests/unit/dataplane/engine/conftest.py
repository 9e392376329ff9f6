"""The tiny model, for tests that need llama.cpp itself."""

from tests.tiny_model import tiny_model

__all__ = ["tiny_model"]
