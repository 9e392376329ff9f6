"""Control: the control plane's API, called in the name of the person who looks."""

import os
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx

from dashboard.person import Person
from dashboard.roles import KEY_VARIABLES

URL_VARIABLE = "PENSTOCK_CONTROL_URL"
PERSON_HEADER = "X-Penstock-Person"
TIMEOUT_S = 10.0


class ControlUnavailable(Exception):  # noqa: N818 - reads as what is the matter
    """One line: what the control plane did not do, why, and the remedy; never a key."""


class Refused(ControlUnavailable):
    """It answered, and does not take this; said again it would not either."""


@dataclass(frozen=True, slots=True)
class Control:
    """Reads and writes for one person; all raise ``ControlUnavailable``."""

    person: Person

    def get(self, path: str, **parameters: Any) -> dict[str, Any]:
        """What the API answers."""
        return self._call("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """What the API answers, once it has done that."""
        return self._call("POST", path, json=body)

    def _call(self, method: str, path: str, **sent: Any) -> dict[str, Any]:
        url, key = os.environ.get(URL_VARIABLE, ""), self.person.key
        if not url:
            raise ControlUnavailable(f"{URL_VARIABLE} is unset: name the control plane's URL there")
        if not key:
            raise ControlUnavailable(
                f"{KEY_VARIABLES[self.person.role]} is unset: put a key of the role there, made "
                "by `penstock key create`, or use `penstock up`"
            )
        headers = {
            "Authorization": f"Bearer {key}",
            PERSON_HEADER: quote(self.person.name, safe="@+"),
        }
        try:
            answer = _client().request(method, f"{url}{path}", headers=headers, **sent)
        except httpx.HTTPError as error:
            raise ControlUnavailable(
                f"the control plane at {url} does not answer ({type(error).__name__}): start it "
                "by `penstock up` or `penstock control`"
            ) from None
        if answer.is_client_error:
            raise Refused(_refusal(answer))
        if answer.is_error:
            raise ControlUnavailable(_refusal(answer))
        body = answer.json()
        assert isinstance(body, dict)
        return body


@cache
def _client() -> httpx.Client:
    return httpx.Client(timeout=TIMEOUT_S, trust_env=False)


def _refusal(answer: httpx.Response) -> str:
    """Its reason, as the control plane words it."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"the control plane answered {answer.status_code} to {answer.request.url.path}"
