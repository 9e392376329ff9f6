"""Where a server listens: ``host:port``."""

import errno
import socket
from dataclasses import dataclass
from typing import Self

from dataplane.contract.errors import OperatorError


class PortInUseError(OperatorError):
    """Another program listens there already."""


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a TCP port, 0 for any free one; written ``[::1]:8080`` for IPv6."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host:port``; raises ``ValueError``."""
        host, colon, port = text.rpartition(":")
        bare = host.removeprefix("[").removesuffix("]")
        if not (colon and bare and port.isascii() and port.isdigit() and int(port) < 65536):
            raise ValueError('must be "host:port", such as 127.0.0.1:8080')
        if ":" in bare and bare == host:
            raise ValueError(f'must bracket an IPv6 host: "[{host}]:{port}"')
        return cls(bare, int(port))

    @property
    def url(self) -> str:
        """What a client on this machine calls: a wildcard host is replaced by loopback."""
        loopback = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - recognised, not bound
        return f"http://{type(self)(loopback.get(self.host, self.host), self.port)}"

    def check_free(self, setting: str = "listen") -> None:
        """Bind for an instant; raises `PortInUseError`, or `OperatorError` for any other reason."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server will
            try:
                probe.bind((self.host, self.port))
                probe.listen(1)
            except OSError as error:
                raise self._refusal(error, setting) from error

    def _refusal(self, error: OSError, setting: str) -> OperatorError:
        if error.errno == errno.EADDRINUSE:
            return PortInUseError(
                f"port {self.port} on {self.host} is in use: "
                f"stop the other program or set {setting} in penstock.yaml"
            )
        return OperatorError(
            f"cannot listen on {self}: {error.strerror}; set {setting} in penstock.yaml"
        )
