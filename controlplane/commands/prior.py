"""`penstock prior`: what a recording teaches a learner before its first label."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from controlplane.commands import options
from dataplane.contract.errors import OperatorError


def prior(
    file: options.RecordingFile,
    local: options.LocalModel,
    cloud: options.CloudModel,
    out: Annotated[Path, typer.Option(help="Where the prior goes: JSON.")],
    tier: options.Between = None,
    where: options.Where = None,
    category: options.ByCategory = False,
    data: options.DataFolder = None,
) -> None:
    """Fit a prior: which queries the local tier gets right, and what dear ones make of them.

    Name it as `learner.prior` in penstock.yaml, or give it to `penstock replay --prior`. A learner
    that has one trusts it like at most some hundreds of labels of its own, and less after a drift.
    """
    import numpy as np  # noqa: PLC0415 - only where it is needed

    from controlplane.evaluate import recorded  # noqa: PLC0415
    from controlplane.evaluate.pairing import Wanted, pair  # noqa: PLC0415
    from controlplane.learn import prior as priors  # noqa: PLC0415

    wanted = Wanted(
        local=local,
        cloud=cloud,
        local_price=0,
        cloud_price=0,
        category=category,
        where=options.chosen(where),
        between=tuple(tier or ()),
    )
    path = recorded.find(file, data)
    pairs = pair(recorded.read(path, wanted.columns), wanted)
    worth = np.array([row.worth for row in pairs.rows])
    features = [row.features for row in pairs.rows]
    fitted = priors.fit(features, worth, pairs.categories, pairs.hints)
    try:
        out.write_text(fitted.to_json(), "utf-8")
    except OSError as error:
        raise OperatorError(f"cannot write {out}: {error.strerror}") from error
    trusted = min(fitted.labels, round(priors.MOST))
    typer.echo(
        f"{out}: {fitted.labels:,} queries; {_right(pairs.tiers, worth.mean(axis=0).tolist())}; "
        f"trusted like {trusted:,} labels"
    )


def _right(tiers: Sequence[str], shares: Sequence[float]) -> str:
    names = ["local right", *tiers[1:-1], "cloud"]
    return ", ".join(f"{name} {share:.3f}" for name, share in zip(names, shares, strict=True))
