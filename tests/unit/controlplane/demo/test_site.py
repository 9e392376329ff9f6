import hashlib
import stat
from pathlib import Path

import pytest

from controlplane.demo.options import CLOUD, Options, RealCloud
from controlplane.demo.site import PROVIDER_KEY, prepare, repriced
from dataplane.contract.configuration import load
from dataplane.contract.errors import OperatorError


def test_a_site_is_a_configuration_that_loads(tmp_path: Path) -> None:
    place = prepare(tmp_path / "new", Options(target_quality=0.85))
    local, cloud = place.configuration.tiers
    assert place.configuration.objective.target_quality == 0.85
    assert place.configuration.data_dir.resolve() == place.directory
    assert local.engine is not None
    assert local.engine.sha256 == hashlib.sha256(local.engine.model.read_bytes()).hexdigest()
    assert cloud.provider is not None
    assert cloud.provider.model == CLOUD
    assert cloud.provider.base_url == f"http://127.0.0.1:{place.provider_port}/v1"
    assert cloud.provider.api_key.get_secret_value() == place.provider_key


def test_the_key_is_random_and_in_no_file(tmp_path: Path) -> None:
    one, other = (prepare(tmp_path / name, Options()) for name in ("one", "other"))
    assert one.provider_key != other.provider_key
    assert one.provider_key not in one.file.read_text()
    assert "SIMULATED" in one.file.read_text()


def test_a_real_cloud_has_its_own_prices_and_key(tmp_path: Path) -> None:
    real = RealCloud("gpt-x", "sk-real", 1.0, 4.0)
    place = prepare(tmp_path / "new", Options(cloud=real))
    cloud = place.configuration.tiers[1]
    assert cloud.provider is not None
    assert (cloud.provider.model, cloud.provider.base_url) == ("gpt-x", real.base_url)
    assert (cloud.price.input_usd_per_mtok, cloud.price.output_usd_per_mtok) == (1.0, 4.0)
    assert place.provider_key == "sk-real"
    assert "sk-real" not in place.file.read_text()


def test_a_directory_that_holds_something_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(OperatorError, match="is not empty: name a new directory with --keep"):
        prepare(tmp_path, Options())
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_directory_that_cannot_be_made(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OperatorError, match="name another with --keep"):
        prepare(file / "below", Options())


def test_nobody_else_lists_the_directory(tmp_path: Path) -> None:
    place = prepare(tmp_path / "new", Options())
    assert not stat.S_IMODE(place.directory.stat().st_mode) & stat.S_IWOTH


def test_a_local_model_that_is_to_drift_stands_behind_its_own_address(tmp_path: Path) -> None:
    place = prepare(tmp_path / "new", Options(drift="local"))
    local = place.configuration.tiers[0]
    assert local.engine is None
    assert local.provider is not None
    assert local.provider.base_url == f"{place.drifting_url}/v1"
    assert local.price == prepare(tmp_path / "other", Options()).configuration.tiers[0].price


def test_a_lower_price_is_stated_in_the_file(tmp_path: Path) -> None:
    place = prepare(tmp_path / "new", Options(drift="price"))
    local, cloud = place.configuration.tiers
    cheaper = repriced(place).configuration.tiers
    assert cheaper[0] == local
    before, after = cloud.price, cheaper[1].price
    assert after.input_usd_per_mtok == pytest.approx(0.3 * before.input_usd_per_mtok)
    assert after.output_usd_per_mtok == pytest.approx(0.3 * before.output_usd_per_mtok)
    assert load(place.file, {PROVIDER_KEY: "k"}).tiers[1].price == cheaper[1].price
