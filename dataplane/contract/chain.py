"""The decision rule for a chain of two to four tiers, by backward induction on plain numbers.

Source: Dekoninck et al., "A Unified Approach to Routing and Cascading for
LLMs" (arXiv 2410.10347): V(h) = max(q_best(h), max_j -lambda c_j + E[V(h + answer and score of
j)]). Where only the first tier is judged, and one dear tier called at most, it gives the values of
``dataplane.contract.rule``.

What is believed of a query is a joint distribution: which tiers would be right (a pattern; bit
``j`` of its index is set iff tier ``j`` would be), and for each judged tier the bin of its score
given the pattern. No two tiers are taken as independent; scores are, given the pattern. That
leaves room for a judge whose score of a cheap answer foretells the dear ones (``likelihood``).

A state has one digit per tier: ``UNCALLED``, ``UNJUDGED``, or ``binned(k)``. In each state the
actions are to reply with the best answer at hand (``REPLY``), or to advance one tier: to call it
if it was not called, to judge its answer if that was not judged (``advance(tier)``). Tiers may be
called in any order. Routing and cascading are the same rule with other actions forbidden.

Leading shapes broadcast as in ``rule``: queries (n, 1) against lambdas (a,), for example. Costs
are in units of one mean cloud call, ``lambda_`` in quality per such unit.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import product
from types import EllipsisType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataplane.contract import rule
from dataplane.contract.rule import Array, Mask

Actions: TypeAlias = NDArray[np.int8]
State: TypeAlias = tuple[int, ...]  # one digit per tier
Block: TypeAlias = tuple[slice, ...]  # states that differ in the bins of the same tiers only
Place: TypeAlias = tuple[EllipsisType | slice | int, ...]  # the same among leading axes

UNCALLED, UNJUDGED = 0, 1
REPLY = 0
TIE = 1e-12  # what rounding may add to a value: an action must be better by more to be preferred

_UNCALLED, _UNJUDGED, _JUDGED = slice(0, 1), slice(1, 2), slice(2, None)


def binned(k: int) -> int:
    """The digit of a tier whose answer the judge put in bin ``k``."""
    return 2 + k


def advance(tier: int) -> int:
    """The action of calling ``tier``, or of judging its answer where it was called."""
    return 1 + tier


@dataclass(frozen=True, slots=True)
class Chain:
    """What is believed of a query and what its tiers cost; N tiers, in the order ties prefer.

    Raises ``ValueError`` unless 2 <= N <= 4 and the shapes agree.
    """

    pattern_probability: Array  # (..., 2^N) P(pattern | x)
    likelihoods: tuple[Array, ...]  # per tier (..., 2^N, K_j) P(k | pattern); K_j = 0: no judge
    costs: Array  # (..., N) of a call
    judge_costs: Array  # (..., N) of judging an answer
    barred: Mask | None = None  # (2 + K_0,) digits of the first tier that bar its answer

    def __post_init__(self) -> None:
        tiers = self.tiers
        if not 2 <= tiers <= 4:
            raise ValueError(f"a chain has 2 to 4 tiers, not {tiers}: see supermodel for more")
        patterns = {self.pattern_probability.shape[-1]}
        patterns.update(each.shape[-2] for each in self.likelihoods)
        if patterns != {2**tiers}:
            raise ValueError(f"{tiers} tiers have {2**tiers} patterns, not {sorted(patterns)}")
        if {self.costs.shape[-1], self.judge_costs.shape[-1]} != {tiers}:
            raise ValueError(f"{tiers} tiers have {tiers} costs and judge costs")

    @property
    def tiers(self) -> int:
        """N."""
        return len(self.likelihoods)

    @property
    def digits(self) -> tuple[int, ...]:
        """How many values each tier's digit has."""
        return tuple(2 + each.shape[-1] for each in self.likelihoods)

    @property
    def judged(self) -> tuple[bool, ...]:
        """Per tier, whether its answers can be judged."""
        return tuple(each.shape[-1] > 0 for each in self.likelihoods)

    @property
    def start(self) -> State:
        """The state of a query that no tier has answered."""
        return (UNCALLED,) * self.tiers

    def index(self, state: State) -> int:
        """Mixed-radix index of a state, the first tier's digit most significant."""
        return int(np.ravel_multi_index(state, self.digits))

    def state(self, index: int) -> State:
        """The state of that mixed-radix index."""
        return tuple(int(digit) for digit in np.unravel_index(index, self.digits))


@dataclass(frozen=True, slots=True)
class Plan:
    """What is best in every state that can follow the one planned from; elsewhere NaN and -1.

    All are (..., S), states in mixed-radix order; ties fall to replying, then to the earlier tier.
    """

    value: Array  # expected quality minus lambda times the cost still to come
    action: Actions  # REPLY or advance(tier)
    answer: Actions  # the tier to reply from, or -1 where none was called; given in all states


@dataclass(frozen=True, slots=True)
class Options:
    """What one state offers."""

    values: Array  # (..., N + 1) by action; -inf where it is forbidden or impossible
    action: Actions  # (...) the best
    answer: Actions  # (...) the tier to reply from, or -1 where none was called


def likelihood(f1: Array, f0: Array, tier: int, tiers: int, tilt: Array | None = None) -> Array:
    """P(k | pattern) (..., 2^N, K) of a judge of ``tier``.

    ``f1``, ``f0`` (..., K): P(k | tier right), P(k | tier wrong).

    With ``tilt`` (..., K), a bin speaks of the later tiers too: f is multiplied by
    exp(tilt[k] * how many later tiers are right), and normalised over the bins of each pattern.
    The log-odds of a later tier, given this one, then shift by tilt[k] between bins, while
    P(pattern) stays the mean over the bins, whatever was judged before.
    """
    right = _right(tiers)
    base = np.where(right[tier][:, None] > 0, f1[..., None, :], f0[..., None, :])
    if tilt is None:
        return np.asarray(base, dtype=np.float64)
    later = right[tier + 1 :].sum(axis=0)
    tilted = base * np.exp(tilt[..., None, :] * later[:, None])
    return np.asarray(tilted / tilted.sum(axis=-1, keepdims=True))


def without_judge(tiers: int) -> Array:
    """The likelihood (2^N, 0) of a tier that has no judge."""
    return np.empty((2**tiers, 0))


def of_rule(beliefs: rule.Beliefs, costs: rule.Costs) -> Chain:
    """The chain that ``rule`` decides for: only the local tier is judged.

    The dear tiers are taken as independent given the local answer and its bin. The rule calls one
    of them at most, and what may come of that does not depend on it. What the rule's floor bars,
    unjudged answers and low bins, is never replied with.
    """
    tiers = 1 + len(beliefs.dear)
    p, right = beliefs.p_after, _right(tiers)
    patterns = np.where(right[0][:, None] > 0, p[..., None, :], 1 - p[..., None, :])
    for place, each in enumerate(beliefs.dear, 1):
        chance = np.where(right[0][:, None] > 0, 1 - each.b[..., None, :], each.g[..., None, :])
        patterns = patterns * np.where(right[place][:, None] > 0, chance, 1 - chance)
    joint = patterns * beliefs.bin_probability[..., None, :]  # (..., 2^N, K)
    probability = joint.sum(axis=-1)
    judge = joint / np.maximum(probability, 1e-300)[..., None]
    judging, *calling = np.broadcast_arrays(costs.judge, costs.local, *costs.dear)
    calls = np.stack(calling, axis=-1).astype(np.float64)
    judges = np.zeros_like(calls)
    judges[..., 0] = judging
    floor = beliefs.floor
    barred = None if floor is None else np.concatenate([[True, True], floor.barred])
    return Chain(probability, (judge, *[without_judge(tiers)] * (tiers - 1)), calls, judges, barred)


def forbid(chain: Chain, calls: Collection[int] = (), judges: Collection[int] = ()) -> Mask:
    """Forbidden actions (*digits, N + 1): these tiers are not called, those not judged.

    Such masks are joined by ``|``.
    """
    mask = _allowed(chain)
    for tier in calls:
        _where(mask, tier, _UNCALLED)[..., advance(tier)] = True
    for tier in judges:
        _where(mask, tier, _UNJUDGED)[..., advance(tier)] = True
    return mask


def routing(chain: Chain) -> Mask:
    """What routing forbids: to judge, and to call a tier once one has answered."""
    mask = forbid(chain, judges=range(chain.tiers))
    for tier in range(chain.tiers):
        _where(mask, tier, slice(1, None))[..., 1:] = True
    return mask


def cascading(chain: Chain) -> Mask:
    """What cascading forbids: another order, an answer left unjudged, and judging the last tier's.

    That one needs no judge, as nothing is left to escalate to. A tier without a judge is kept or
    passed over on what is believed of it.
    """
    last = chain.tiers - 1
    mask = forbid(chain, judges=[last])
    for tier, judged in enumerate(chain.judged[:last]):
        later = slice(advance(tier) + 1, None)
        _where(mask, tier, _UNCALLED)[..., later] = True
        if judged:
            _where(mask, tier, _UNJUDGED)[..., later] = True
            _where(mask, tier, _UNJUDGED)[..., REPLY] = True
    return mask


def plan(
    chain: Chain,
    lambda_: float | Array,
    forbidden: Mask | None = None,
    start: State | None = None,
) -> Plan:
    """The value and the best action of every state from ``start`` on, by backward induction."""
    ground = _Ground.of(chain, lambda_, forbidden)
    worth, action = _induced(ground, start or chain.start)
    value = worth / np.maximum(ground.total, 1e-300)
    answer = np.broadcast_to(ground.answer, ground.shape)
    flat = (*ground.lead, -1)
    return Plan(value.reshape(flat), action.reshape(flat), answer.reshape(flat))


def best(
    chain: Chain, state: State, lambda_: float | Array, forbidden: Mask | None = None
) -> Options:
    """What one state offers, and what is best there."""
    ground = _Ground.of(chain, lambda_, forbidden)
    worth, action = _induced(ground, state)
    at = _place(state)
    reached = np.maximum(ground.total[at], 1e-300)
    values = np.full((*ground.lead, 1 + chain.tiers), -np.inf)
    for each, option in _options(ground, worth, tuple(slice(d, d + 1) for d in state)):
        values[..., each] = option.reshape(option.shape[: -chain.tiers]) / reached
    return Options(values, action[at], np.broadcast_to(ground.answer[at], ground.lead))


def spend(chain: Chain, planned: Plan) -> Array:
    """Expected cost (...) of following a plan from the start, at the chain's costs.

    On the beliefs it was made from, a plan's expected quality is its value plus lambda times this.
    On a chain with other beliefs or costs it is what that plan would cost there; with one cost of
    1 and the others 0, how often that one is paid.
    """
    ground = _Ground.of(chain, 1.0, None, lead=planned.action.shape[:-1])
    action = planned.action.reshape(ground.shape)
    paid = ground.blank(0.0)
    for block in _blocks(chain, chain.start):
        at = _place(block)
        for tier in _open(chain, block):
            step = _charge(ground, tier, block) + _ahead(paid, block, tier)
            paid[at] += np.where(action[at] == advance(tier), step, 0.0)
    return np.asarray(paid[_place(chain.start)])


@dataclass(frozen=True, slots=True)
class _Ground:
    """What the induction stands on.

    A state's worth is its value times the probability of its scores: the mean over the next score
    is then a plain sum, and nothing is divided by what may be zero.
    """

    chain: Chain
    lead: tuple[int, ...]
    total: Array  # (..., *digits) P(the state's scores | x)
    reply: Array  # (..., *digits) P(the state's scores, the best answer at hand right | x)
    answer: Actions  # (..., *digits) whose answer that is
    calls: tuple[Array, ...]  # per tier (..., 1, .., 1) lambda times the cost of a call
    judges: tuple[Array, ...]  # the same of judging
    forbidden: Mask | None  # (*digits, N + 1)

    @classmethod
    def of(
        cls,
        chain: Chain,
        lambda_: float | Array,
        forbidden: Mask | None,
        lead: tuple[int, ...] = (),
    ) -> "_Ground":
        total, *right = np.moveaxis(_masses(chain), -1 - chain.tiers, 0)
        reply, answer = _replies(chain, total, right)
        calls = _per_tier(chain, lambda_, chain.costs)
        judges = _per_tier(chain, lambda_, chain.judge_costs)
        leads = [each.shape[: each.ndim - chain.tiers] for each in (total, *calls, *judges)]
        whole = np.broadcast_shapes(lead, *leads)
        return cls(chain, whole, total, reply, answer, calls, judges, forbidden)

    @property
    def shape(self) -> tuple[int, ...]:
        return (*self.lead, *self.chain.digits)

    def blank(self, fill: float) -> Array:
        return np.full(self.shape, fill)


def _right(tiers: int) -> Array:
    """(N, 2^N) Whether a tier is right in a pattern."""
    patterns = np.arange(2**tiers)
    return np.array([patterns >> tier & 1 for tier in range(tiers)], dtype=np.float64)


def _masses(chain: Chain) -> Array:
    """(..., N + 1, *digits) P(scores), then P(scores, tier right) of each tier, in every state."""
    patterns = 2**chain.tiers
    *earlier, last = (_seen(each) for each in chain.likelihoods)
    weights = chain.pattern_probability[..., None, :]
    for seen in earlier:
        each = weights[..., :, None, :] * seen[..., None, :, :]
        weights = each.reshape(*each.shape[:-3], -1, patterns)
    asked = np.concatenate([np.ones((1, patterns)), _right(chain.tiers)])
    # the last tier is summed out at once: the largest array is never laid out by pattern
    masses = weights[..., None, :, :] @ (asked[:, :, None] * last.swapaxes(-1, -2)[..., None, :, :])
    return np.asarray(masses.reshape(*masses.shape[:-2], *chain.digits))


def _seen(likelihood: Array) -> Array:
    """(..., digits, 2^N) What a digit says of the patterns: uncalled and unjudged say nothing."""
    silent = np.ones((*likelihood.shape[:-2], 2, likelihood.shape[-2]))
    return np.concatenate([silent, likelihood.swapaxes(-1, -2)], axis=-2)


def _replies(chain: Chain, total: Array, right: list[Array]) -> tuple[Array, Actions]:
    """The probability that the best answer is right, and its tier: the first within a tie."""
    greatest, answer = np.full(total.shape, -np.inf), np.full(total.shape, -1, dtype=np.int8)
    margin = TIE * total
    if chain.barred is not None:
        first = chain.barred.reshape(-1, *(1,) * (chain.tiers - 1))
        right = [np.where(first, -np.inf, right[0]), *right[1:]]
    for tier, each in enumerate(right):
        called = _place((slice(1, None), *(slice(None),) * (chain.tiers - 1 - tier)))
        better = each[called] > greatest[called] + margin[called]
        answer[called] = np.where(better, np.int8(tier), answer[called])
        greatest[called] = np.maximum(greatest[called], each[called])
    return greatest, answer


def _per_tier(chain: Chain, lambda_: float | Array, costs: Array) -> tuple[Array, ...]:
    digits = (1,) * chain.tiers
    charged = np.asarray(lambda_, dtype=np.float64)[..., None] * costs
    return tuple(
        np.asarray(charged[..., tier]).reshape(*charged.shape[:-1], *digits)
        for tier in range(chain.tiers)
    )


def _allowed(chain: Chain) -> Mask:
    return np.zeros((*chain.digits, 1 + chain.tiers), dtype=bool)


def _where(mask: Mask, tier: int, digits: slice) -> Mask:
    """A view of the states in which the tier has one of these digits."""
    return mask[_place((digits, *(slice(None),) * (mask.ndim - 1 - tier)))]


def _blocks(chain: Chain, start: State) -> Iterator[Block]:
    """The states from ``start`` on, what follows a state before the state itself."""
    return product(*(_ahead_of(*each) for each in zip(start, chain.judged, strict=True)))


def _place(block: tuple[slice | int, ...]) -> Place:
    return (..., *block)


def _ahead_of(digit: int, judged: bool) -> list[slice]:
    """What a tier's digit may become, the most advanced first."""
    if digit > UNJUDGED:
        return [slice(digit, digit + 1)]
    return [_JUDGED] * judged + [_UNJUDGED] + [_UNCALLED] * (digit == UNCALLED)


def _open(chain: Chain, block: Block) -> Iterator[int]:
    """The tiers that can be advanced."""
    for tier, (digits, judged) in enumerate(zip(block, chain.judged, strict=True)):
        if digits == _UNCALLED or (digits == _UNJUDGED and judged):
            yield tier


def _induced(ground: _Ground, start: State) -> tuple[Array, Actions]:
    """The worth and the best action of every state from ``start`` on; elsewhere NaN and -1."""
    worth, action = ground.blank(np.nan), np.full(ground.shape, -1, dtype=np.int8)
    for block in _blocks(ground.chain, start):
        at = _place(block)
        worth[at], action[at] = _preferred(ground, worth, block)
    return worth, action


def _options(ground: _Ground, worth: Array, block: Block) -> Iterator[tuple[int, Array]]:
    """Each possible action and its worth, times the probability of the state's scores."""
    if any(digits != _UNCALLED for digits in block):
        yield REPLY, _unless(ground, block, REPLY, ground.reply[_place(block)])
    for tier in _open(ground.chain, block):
        option = _ahead(worth, block, tier) - _charge(ground, tier, block)
        yield advance(tier), _unless(ground, block, advance(tier), option)


def _preferred(ground: _Ground, worth: Array, block: Block) -> tuple[Array, Actions]:
    """The greatest worth, and the first action that comes within a tie of it."""
    margin = TIE * ground.total[_place(block)]
    greatest, action = np.array(-np.inf), np.array(-1, dtype=np.int8)
    for candidate, option in _options(ground, worth, block):
        action = np.where(option > greatest + margin, np.int8(candidate), action)
        greatest = np.maximum(greatest, option)
    return greatest, action


def _charge(ground: _Ground, tier: int, block: Block) -> Array:
    prices = ground.calls if block[tier] == _UNCALLED else ground.judges
    return np.asarray(prices[tier] * ground.total[_place(block)])


def _ahead(worth: Array, block: Block, tier: int) -> Array:
    """What comes of advancing a tier: its answer unjudged, or its score, summed over the bins."""
    called = block[tier] == _UNCALLED
    following = worth[_place((*block[:tier], _UNJUDGED if called else _JUDGED, *block[tier + 1 :]))]
    if called:
        return following
    return np.asarray(following.sum(axis=tier - len(block), keepdims=True))


def _unless(ground: _Ground, block: Block, action: int, option: Array) -> Array:
    if ground.forbidden is None:
        return option
    return np.where(ground.forbidden[..., action][block], -np.inf, option)
