"""Server-sent events, read tolerantly (WHATWG HTML, section 9.2.6: event stream interpretation)."""

MAX_EVENT_BYTES = 4 * 2**20


class EventTooLargeError(Exception):
    """An event never ended."""


class EventReader:
    """Bytes in any cut, to the data of complete events.

    Lines end with LF or CRLF. Comments and fields other than `data` are dropped, the data lines
    of an event are joined. Some servers leave out the blank line after `[DONE]`: `finish` gives
    what is left.
    """

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """Data of the events that `chunk` completes. Raises `EventTooLargeError`."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = [event for line in lines if (event := self._line(line)) is not None]
        if len(self._rest) + sum(map(len, self._data)) > MAX_EVENT_BYTES:
            raise EventTooLargeError
        return events

    def finish(self) -> list[bytes]:
        """Data of an event that was not closed by a blank line."""
        events = [self._line(self._rest), self._line(b"")]
        self._rest = b""
        return [event for event in events if event is not None]

    def _line(self, line: bytes) -> bytes | None:
        line = line.removesuffix(b"\r")
        if line.startswith(b"data:"):
            self._data.append(line[5:].removeprefix(b" "))
        if line or not self._data:
            return None
        event, self._data = b"\n".join(self._data), []
        return event
