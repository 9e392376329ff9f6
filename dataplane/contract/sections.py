"""The sections of ``penstock.yaml``, each checked on its own.

The sections ``price`` and ``expected`` of a tier carry the names of the policy's ``TierTerms``.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    StringConstraints,
    ValidationInfo,
    WithJsonSchema,
    model_validator,
)

from dataplane.contract.address import Address
from dataplane.contract.forbidden import is_forbidden
from dataplane.contract.terms import (
    HELD_OUT,
    TRUSTED,
    UNDECIDED,
    Accepts,
    WrongAcceptances,
)


def _beside(path: Path, info: ValidationInfo) -> Path:
    directory: Path = (info.context or {}).get("directory", Path())
    return directory / path.expanduser()


def _secret(value: Any, info: ValidationInfo) -> Any:
    if not (isinstance(value, str) and value.startswith("file:")):
        return value
    path = _beside(Path(value.removeprefix("file:")), info)
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not UTF-8 text"
        raise ValueError(f"cannot read the secret from {path}: {why}") from error


def _listen(value: Any) -> Any:
    return value if isinstance(value, Address) else Address.parse(str(value))


def _upstream(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be an http:// or https:// URL")
    if parts.username or parts.query or parts.fragment:
        raise ValueError("must be a plain URL; credentials go into api_key")
    if is_forbidden(parts.hostname):
        raise ValueError("is a link-local address, where clouds keep their credentials")
    return url.rstrip("/")


def _bandit(value: Any) -> Any:
    if value in REFUSED:
        raise ValueError(f"{value} is refused: {REFUSED[value]}; choose {OTHERWISE}")
    return value


MOST_TIERS = 12
Bandit: TypeAlias = Literal["policy_family", "ucb", "thompson", "epsilon_greedy", "linucb"]
OTHERWISE = "policy_family, ucb, thompson, epsilon_greedy or linucb"
REFUSED = {
    "exp3": "River's fails when a label comes before its first pull, and its weights overflow",
    "bayes_ucb": "River's counts every reward but 0 as a full success, and ours are numbers",
}
Listen: TypeAlias = Annotated[
    Address,
    BeforeValidator(_listen),
    PlainSerializer(str),
    WithJsonSchema({"type": "string", "pattern": r"^.+:\d{1,5}$"}),
]
Beside: TypeAlias = Annotated[Path, AfterValidator(_beside)]
Secret: TypeAlias = Annotated[SecretStr, BeforeValidator(_secret)]
Upstream: TypeAlias = Annotated[str, AfterValidator(_upstream)]
Name: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)
]
Who: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^(\*|[^\s,*]+|[^\s,@]*@[^\s,@]+)$", max_length=100),
]
Sha256: TypeAlias = Annotated[str, StringConstraints(pattern=r"^([0-9a-fA-F]{64}|none)$")]
Probability: TypeAlias = Annotated[float, Field(ge=0, le=1)]
NonNegative: TypeAlias = Annotated[float, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Whole: TypeAlias = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    """Immutable and closed; defaults are validated too, so that their paths are placed."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )


class Price(Section):
    """List prices; ``billing: none`` keeps them in the rule and out of the money totals."""

    input_usd_per_mtok: NonNegative
    output_usd_per_mtok: NonNegative
    billing: Literal["tokens", "none"] = "tokens"


class Expected(Section):
    """What a query is expected to use of a tier, and to wait for it: never the realised length."""

    completion_tokens: NonNegative = 100.0
    overhead_tokens: NonNegative = 0.0
    chars_per_token: Positive = 4.0
    latency_s: NonNegative = 0.0


class Engine(Section):
    """A GGUF served by this machine; ``sha256: none`` pins nothing."""

    model: Beside
    sha256: Sha256
    context: Annotated[int, Field(ge=128)] = 4096
    slots: Whole = 4
    gpu_layers: Annotated[int, Field(ge=-1)] = 0
    threads: Whole = 1

    @property
    def pinned(self) -> str | None:
        """The SHA-256 that the file must have; None accepts any."""
        return None if self.sha256 == "none" else self.sha256


class Provider(Section):
    """An OpenAI-compatible service; an empty ``api_key`` sends none."""

    base_url: Upstream
    model: Annotated[str, StringConstraints(min_length=1)]
    api_key: Secret = SecretStr("")
    connect_timeout_s: Positive = 5.0
    idle_timeout_s: Positive = 30.0


class Tier(Section):
    """A place that answers: either an engine of ours or a provider."""

    name: Name
    engine: Engine | None = None
    provider: Provider | None = None
    price: Price
    expected: Expected = Expected()
    timeout_s: Positive = 120.0

    @model_validator(mode="after")
    def _one_place(self) -> Self:
        if (self.engine is None) == (self.provider is None):
            raise ValueError("needs either engine or provider, one of the two")
        if self.name in ("judge", "reply"):
            raise ValueError(f'"{self.name}" is an action\'s name; choose another')
        return self


class Spool(Section):
    """The local queue of records, and what to do when it is full."""

    max_bytes: Annotated[int, Field(ge=1 << 20)] = 1 << 30
    on_full: Literal["serve", "refuse"] = "refuse"


class Objective(Section):
    """Reach ``target_quality``, less ``tolerance``, at the least cost; or the best quality whose
    mean bill is within ``ceiling_usd_per_query``. ``latency_usd_per_s`` is a second's worth.
    ``accepts`` are the sources of labels that are taken for the truth. ``wrong_acceptances`` asks
    for a certified cutoff.
    """

    target_quality: Probability | None = None
    tolerance: Probability = 0.02
    reference: Literal["ground_truth", "always_cloud"] = "ground_truth"
    ceiling_usd_per_query: Positive | None = None
    confidence: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    latency_usd_per_s: NonNegative = 0.0
    accepts: Accepts = TRUSTED
    wrong_acceptances: WrongAcceptances | None = None

    @model_validator(mode="after")
    def _one_aim(self) -> Self:
        if (self.target_quality is None) == (self.ceiling_usd_per_query is None):
            raise ValueError("needs target_quality or ceiling_usd_per_query, one of the two")
        stray = self.model_fields_set & {"tolerance", "reference"}
        if self.target_quality is None and stray:
            raise ValueError(f"{min(stray)} goes with target_quality, not with a ceiling")
        return self

    def stated(self) -> dict[str, Any]:
        """What it states, under the names that a policy's objective has for it."""
        theirs = {"target_quality", "tolerance", "reference"}
        other = theirs if self.target_quality is None else {"ceiling_usd_per_query"}
        return self.model_dump(exclude=other)


class Trust(Section):
    """What serves while the judge has not earned its say, and whether its opening waits for an
    operator's `penstock judge accept`. A judge that stops to pay loses its say at once either way.
    """

    while_closed: Literal["route", "always_cloud"] = "route"
    opens: Literal["by_itself", "when_accepted"] = "by_itself"


class Judge(Section):
    """What grades an answer, and whose: the cheapest tier's where none is named."""

    kind: Literal["logprob"] = "logprob"
    tier: Name | None = None
    trust: Trust = Trust()


class Audit(Section):
    """The share of completed queries whose served answer is labelled, and what a label costs.

    At least a share ``floor`` of them is drawn uniformly, the others where labels are worth most;
    at most ``per_day`` a day in the mean, and a share ``held_out`` of them is not learned from.
    A share ``double`` of them wants two people; where these are more than ``tolerance`` apart, a
    third one adjudicates. ``width``: the half-width of served quality to reach, the objective's
    tolerance if it is not said.
    """

    rate: Probability = 0.05
    floor: Annotated[float, Field(gt=0, le=1)] = 1.0
    per_day: Whole | None = None
    held_out: Annotated[float, Field(ge=0, lt=1)] = HELD_OUT
    label_price_usd: NonNegative = 0.0
    double: Probability = 0.15
    tolerance: Probability = 0.25
    width: Annotated[float, Field(gt=0, lt=1)] | None = None


QuietHours: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d$"),
]


class Shadow(Section):
    """The share of completed queries that the silent tiers answer too, unseen by the client.

    While it is undecided whether the judge is trusted, it is ``undecided`` at least, of audits too.
    What would take the last day's shadows beyond ``usd_per_day``, or beyond so many seconds of the
    local tier, is shed; in ``quiet_hours``, ``HH:MM-HH:MM`` in UTC, shadows wait.
    """

    rate: Probability = 0.02
    undecided: Probability = UNDECIDED
    usd_per_day: NonNegative | None = None
    local_seconds_per_day: NonNegative | None = None
    quiet_hours: QuietHours | None = None


class Learner(Section):
    """How often, on how much and how warily the learner retunes; what it knows beforehand.

    ``bandit``: what pulls the arms, the policy family or one of River's own as a baseline.
    """

    retune_interval_s: Positive = 30.0
    min_decisions: Whole = 200
    min_effective_sample: Positive = 50.0
    kappa: NonNegative = 1.0
    bandit: Annotated[Bandit, BeforeValidator(_bandit)] = "policy_family"
    prior: Beside | None = None


class Proposals(Section):
    """How a proposed policy earns its place, and the share of conversations that is held out.

    Of the queries that it might serve otherwise a share ``draw`` is audited and shadowed; as a
    canary it has ``canary_share`` of the conversations until it decided ``canary_queries``, and may
    be ``slower`` times as slow; once live it is watched for ``watched`` queries. A share
    ``holdout`` keeps the last structural policy, so that what retunes save is measured.
    """

    draw: Annotated[float, Field(gt=0, le=1)] = 0.3
    shadow_days: Positive = 14.0
    canary_share: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    canary_queries: Whole = 300
    canary_days: Positive = 7.0
    slower: Annotated[float, Field(ge=1)] = 1.2
    watched: Whole = 2000
    holdout: Annotated[float, Field(ge=0, lt=0.4)] = 0.0


class Records(Section):
    """For how long records are kept, in days; unsaid, until somebody drops them. What they add up
    to, labels and votes stay.
    """

    kept_days: Annotated[int, Field(ge=8)] | None = None


class Sums(Section):
    """For how long what records add up to is kept; pages look back on 31 days of it."""

    kept_days: Annotated[int, Field(ge=32)] = 400


class Limits(Section):
    """What one request, one key and the whole plane may take."""

    body_bytes: Annotated[int, Field(ge=1024)] = 1 << 20
    max_tokens: Whole = 4096
    concurrency: Whole = 32  # of one key
    requests_in_flight: Whole = 256  # of all keys


class Control(Section):
    """The control plane's server."""

    listen: Listen = Address("127.0.0.1", 8081)


class Roles(Section):
    """Who may do what on the dashboard, by e-mail address or pattern: ``*@example.org``. Who
    matches several has the first; who matches none sees nothing.
    """

    operator: tuple[Who, ...] = ()
    reviewer: tuple[Who, ...] = ()
    viewer: tuple[Who, ...] = ()


class Oidc(Section):
    """The identity provider, and what it knows us by; ``redirect_uri`` ends in /oauth2callback."""

    metadata_url: Annotated[str, StringConstraints(pattern=r"^https?://.+")]
    redirect_uri: Annotated[str, StringConstraints(pattern=r"^https?://.+/oauth2callback$")]
    client_id: Annotated[str, StringConstraints(min_length=1)]
    client_secret: Secret
    cookie_secret: Secret


class Proxy(Section):
    """The header in which a proxy names who logged in, and from which addresses it is believed."""

    header: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$")] = "X-Forwarded-Email"
    peers: tuple[Annotated[str, StringConstraints(pattern=r"^[0-9a-fA-F.:/]+$")], ...] = ()


class Dashboard(Section):
    """The dashboard's server, the host names by which browsers reach it, and who may see it.

    Without a login whoever reaches it is the operator: it then listens on this machine alone,
    unless it is said to be ``open``.
    """

    listen: Listen = Address("127.0.0.1", 8501)
    hosts: tuple[Name, ...] = ()
    login: Literal["none", "oidc", "proxy"] = "none"
    open: bool = False
    roles: Roles = Roles()
    oidc: Oidc | None = None
    proxy: Proxy = Proxy()

    @model_validator(mode="after")
    def _somebody_enters(self) -> Self:
        roles = self.roles
        if self.login == "oidc" and self.oidc is None:
            raise ValueError("login: oidc needs the section oidc")
        if self.login != "none" and not (roles.operator or roles.reviewer or roles.viewer):
            raise ValueError(f"login: {self.login} needs roles, or nobody may see anything")
        return self
