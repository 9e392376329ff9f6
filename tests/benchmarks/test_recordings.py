"""A benchmark of recordings that finds none."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.benchmarks import audit, judged, learning, pool, routing


@pytest.mark.parametrize(
    "main",
    [audit.main, judged.main, learning.main, pool.main, routing.main],
    ids=["audit", "judged", "learning", "pool", "routing"],
)
def test_without_recordings_it_says_what_to_do(
    main: Callable[[list[str]], int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("PENSTOCK_DATA", raising=False)
    with pytest.raises(SystemExit) as ended:
        main(["--data", str(tmp_path)])
    assert ended.value.code == 2
    assert "name their folder with --data DIR" in capsys.readouterr().err
