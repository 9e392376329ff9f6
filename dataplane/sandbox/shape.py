"""Sizes of the sandbox model's network."""

from dataclasses import dataclass

from dataplane.sandbox import vocabulary


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of the network; widths are multiples of 32, as ggml's blocks want them."""

    vocabulary: int = len(vocabulary.PIECES)
    width: int = 128
    layers: int = 4
    heads: int = 4
    hidden: int = 352
    context: int = 512
    rope_base: float = 10_000.0
    rms_epsilon: float = 1e-5

    @property
    def head_width(self) -> int:
        """Width of one attention head."""
        return self.width // self.heads
