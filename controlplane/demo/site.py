"""Site: where one demo lives, on which ports, with which keys; and its ``penstock.yaml``."""

import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from controlplane.demo.options import CHEAPER, CLOUD, Options
from controlplane.launch import free_ports
from dataplane.contract.configuration import FILE, Configuration, load
from dataplane.contract.errors import OperatorError

PROVIDER_KEY = "PENSTOCK_PROVIDER_KEY"
LIST_PRICE = (2.5, 10.0)  # USD per million tokens in and out, of the cloud
LOCAL_PRICE = (0.05, 0.05)

TEMPLATE = """\
# Written by `penstock demo`. The cloud tier is {cloud}; the local tier is a real model.
listen: 127.0.0.1:{gateway}
control:
  listen: 127.0.0.1:{control}
dashboard:
  listen: 127.0.0.1:{dashboard}
data_dir: .
text: sampled
tiers:
  - name: local
{place}
    price:
      input_usd_per_mtok: {local_in}
      output_usd_per_mtok: {local_out}
    expected: # it counts characters
      chars_per_token: 1
      overhead_tokens: 2
      completion_tokens: 6
  - name: cloud
    provider:
      base_url: {base_url}
      model: {cloud}
      api_key: ${{PENSTOCK_PROVIDER_KEY:-}}
    price:
      input_usd_per_mtok: {cloud_in}
      output_usd_per_mtok: {cloud_out}
    expected:
      chars_per_token: 4
      overhead_tokens: 7.5
      completion_tokens: 2
    timeout_s: 30
objective:
  target_quality: {target}
  tolerance: {tolerance}
audit:
  rate: {audit_rate}
  label_price_usd: {label_price}
shadow:
  rate: 0.03
  undecided: 0.4 # so that what takes days is over within a minute
learner:
  retune_interval_s: 1
  min_decisions: 100
  min_effective_sample: 40
  kappa: 0.25
"""

ENGINE = """\
    engine:
      model: {model}
      sha256: {sha256}
      context: 128
      slots: 8"""
DRIFTING = """\
    provider: # a real model as well, until its SIMULATED drift
      base_url: {url}/v1
      model: {model}"""


@dataclass(frozen=True, slots=True)
class Site:
    """One demo's place; ``provider_key`` is what the cloud wants."""

    directory: Path
    provider_port: int
    drifting_port: int
    configuration: Configuration
    provider_key: str = field(repr=False)

    @property
    def file(self) -> Path:
        """Its configuration file."""
        return self.directory / FILE

    @property
    def logs(self) -> Path:
        """Where its parts say what they do."""
        return self.directory / "logs"

    @property
    def start_policy(self) -> Path:
        """The document of version 1."""
        return self.directory / "start-policy.json"

    @property
    def drifting_url(self) -> str:
        """Where the local model is, if it is one that drifts."""
        return _loopback(self.drifting_port)


@contextmanager
def directory(keep: Path | None) -> Iterator[Path]:
    """Where the run's data is: a directory that stays, or one that goes with the run."""
    if keep is not None:
        yield keep.absolute()
        return
    with TemporaryDirectory(prefix="penstock-demo-") as name:
        yield Path(name)


def prepare(directory: Path, options: Options) -> Site:
    """Write a demo's configuration into an empty directory; raises ``OperatorError``."""
    _claim(directory)
    gateway, control, dashboard, provider, drifting = free_ports(5)
    real = options.cloud
    prices = (real.input_usd_per_mtok, real.output_usd_per_mtok) if real else LIST_PRICE
    text = TEMPLATE.format(
        gateway=gateway,
        control=control,
        dashboard=dashboard,
        place=_local_place(options, drifting),
        base_url=real.base_url if real else f"{_loopback(provider)}/v1",
        cloud=real.model if real else CLOUD,
        local_in=LOCAL_PRICE[0],
        local_out=LOCAL_PRICE[1],
        cloud_in=prices[0],
        cloud_out=prices[1],
        target=options.target_quality,
        audit_rate=options.audit_rate,
        tolerance=options.tolerance,
        label_price=options.label_price_usd,
    )
    (directory / FILE).write_text(text, "utf-8")
    key = real.api_key if real else secrets.token_urlsafe(32)
    configuration = load(directory / FILE, {PROVIDER_KEY: key})
    return Site(directory, provider, drifting, configuration, key)


def repriced(site: Site) -> Site:
    """The site once its cloud is cheaper, as an operator states it in its file."""
    text = site.file.read_text("utf-8")
    for name, usd in zip(("input", "output"), LIST_PRICE, strict=True):
        said = f"{name}_usd_per_mtok: "
        text = text.replace(f"{said}{usd}\n", f"{said}{usd * CHEAPER:g}\n")
    site.file.write_text(text, "utf-8")
    return replace(site, configuration=load(site.file, {PROVIDER_KEY: site.provider_key}))


def _local_place(options: Options, port: int) -> str:
    model = Path(str(files("dataplane"))) / "sandbox" / "model" / "penstock-sandbox.gguf"
    if options.answers_drift:
        return DRIFTING.format(url=_loopback(port), model=model.stem)
    return ENGINE.format(model=json.dumps(str(model)), sha256=_sha256(model))


def _loopback(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _claim(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise OperatorError(f"{directory} is not empty: name a new directory with --keep")
    except OSError as error:
        raise OperatorError(
            f"cannot use {directory}: {error.strerror}; name another with --keep"
        ) from error
    if os.geteuid() == 0:
        directory.chmod(0o711)  # Postgres, which does not run as root, must pass


def _sha256(model: Path) -> str:
    try:
        return model.with_name(f"{model.name}.sha256").read_text("utf-8").split()[0]
    except (OSError, IndexError):
        raise OperatorError(
            f"{model} has no .sha256 beside it: reinstall penstock, or run `make train`"
        ) from None
