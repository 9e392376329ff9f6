"""Bytes as they are sampled, to text as it may be shown."""

import codecs
from collections.abc import Sequence


class TextStream:
    """Holds back what is not text yet: half a character, or what may become a stop string.

    After a stop string `stopped` is true and nothing more comes out.
    """

    def __init__(self, stop: Sequence[str] = ()) -> None:
        self._stop = tuple(stop)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._held = ""
        self.stopped = False

    def push(self, piece: bytes) -> str:
        """Text that may be shown now that `piece` has arrived."""
        return self._release(self._decoder.decode(piece))

    def finish(self) -> str:
        """What was held back, at the end of the generation."""
        text = self._release(self._decoder.decode(b"", final=True))
        held, self._held = self._held, ""
        return text if self.stopped else text + held

    def _release(self, text: str) -> str:
        if self.stopped:
            return ""
        self._held += text
        cuts = [at for stop in self._stop if (at := self._held.find(stop)) >= 0]
        self.stopped = bool(cuts)
        keep = min(cuts) if cuts else len(self._held) - self._undecided()
        shown, self._held = self._held[:keep], "" if cuts else self._held[keep:]
        return shown

    def _undecided(self) -> int:
        """Length of the longest end of the held text that could begin a stop string."""
        return max((_overlap(self._held, stop) for stop in self._stop), default=0)


def _overlap(text: str, stop: str) -> int:
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
