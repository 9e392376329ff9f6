"""Strategies: (policy, features, attempts so far) to a pmf over next actions. Pure."""

from dataplane.strategies.base import JUDGE, REPLY, Choice, Context, State, call, consider
from dataplane.strategies.cascading import calibrated
from dataplane.strategies.choose import choose
from dataplane.strategies.courses import Courses, Queries, courses
from dataplane.strategies.draws import Drawn, draw, probabilities, probability
from dataplane.strategies.rivals import may_serve

__all__ = [
    "JUDGE",
    "REPLY",
    "Choice",
    "Context",
    "Courses",
    "Drawn",
    "Queries",
    "State",
    "calibrated",
    "call",
    "choose",
    "consider",
    "courses",
    "draw",
    "may_serve",
    "probabilities",
    "probability",
]
