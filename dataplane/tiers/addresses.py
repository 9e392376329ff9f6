"""Names are resolved under guard: none may lead to an address that no tier may have."""

import socket

from aiohttp.abc import ResolveResult
from aiohttp.resolver import ThreadedResolver

from dataplane.contract.forbidden import is_forbidden


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
