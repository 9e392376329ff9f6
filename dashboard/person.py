"""Person: who looks at the dashboard, and in which role."""

import os
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

Role: TypeAlias = Literal["viewer", "reviewer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
KEY_VARIABLES = {role: f"PENSTOCK_{role.upper()}_KEY" for role in ROLES}


@dataclass(frozen=True, slots=True)
class Person:
    """A name, and a role: a viewer reads, a reviewer labels, an operator does both and decides."""

    name: str
    role: Role

    @property
    def key(self) -> str:
        """The API key of the role at the control plane; empty where none was given."""
        return os.environ.get(KEY_VARIABLES[self.role], "")


def current() -> Person:
    """Who looks now: without a login the operator, since only this machine reaches the page."""
    return Person("operator", "operator")
