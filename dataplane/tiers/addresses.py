"""Addresses no tier may have: those under which a cloud's machines find their own credentials."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

_METADATA = frozenset({ip_address("fd00:ec2::254"), ip_address("100.100.100.200")})


def is_forbidden(host: str) -> bool:
    """Whether `host` is a literal link-local or metadata address, in whichever notation."""
    address = _literal(host.strip("[]").partition("%")[0])
    inner = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return address is not None and ((inner or address).is_link_local or address in _METADATA)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    """The address that `host` spells; the C library reads 2852039166 and 0xa9.254 as one too."""
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None


class GuardedResolver(ThreadedResolver):
    """The system's resolver, but a name that leads to a forbidden address is not found."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Addresses of `host`. Raises `OSError`."""
        found = await super().resolve(host, port, family)
        if any(is_forbidden(result["host"]) for result in found):
            raise OSError(f"{host} is a link-local or metadata address, which is refused")
        return found
