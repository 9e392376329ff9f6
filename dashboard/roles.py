"""Roles: what people may do, and with which of the control plane's keys."""

from typing import Literal, TypeAlias, get_args

Role: TypeAlias = Literal["viewer", "reviewer", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
KEY_VARIABLES = {role: f"PENSTOCK_{role.upper()}_KEY" for role in ROLES}
