"""An identity provider of one person, who agrees to everything: OpenID Connect's code flow."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.browser.server import listening

CLIENT = "penstock"


@contextmanager
def provider(port: int, claims: dict[str, Any]) -> Iterator[str]:
    """Its URL; whoever logs in is the person of these claims."""
    issuer = f"http://127.0.0.1:{port}"
    key = RSAKey.generate_key(2048, {"kid": "one"})
    nonces: list[str] = []
    app = FastAPI()

    @app.get("/.well-known/openid-configuration")
    def metadata() -> dict[str, Any]:
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    @app.get("/authorize")
    def authorize(redirect_uri: str, state: str, nonce: str) -> RedirectResponse:
        nonces.append(nonce)
        return RedirectResponse(f"{redirect_uri}?{urlencode({'code': 'c', 'state': state})}")

    @app.post("/token")
    def token() -> dict[str, Any]:
        now = int(time.time())
        told = {
            "iss": issuer, "aud": CLIENT, "sub": "1", "iat": now, "exp": now + 600,
            "nonce": nonces[-1],
        }  # fmt: skip
        signed = jwt.encode({"alg": "RS256", "kid": "one"}, told | claims, key)
        return {"access_token": "a", "token_type": "Bearer", "id_token": signed}

    @app.get("/jwks")
    def jwks() -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False)]}

    with listening(app, port):
        yield issuer
