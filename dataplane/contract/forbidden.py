"""Addresses that are never called: those under which a cloud's machines find their credentials."""

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

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
