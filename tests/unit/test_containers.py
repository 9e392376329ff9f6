"""The container files, as far as can be told without a container engine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE)["services"]
OURS = sorted(set(SERVICES) - {"postgres"})


def test_every_part_is_a_service() -> None:
    assert set(SERVICES) == {"postgres", "setup", "dataplane", "controlplane", "dashboard"}
    assert all("healthcheck" in SERVICES[name] for name in set(SERVICES) - {"setup"})


def test_secrets_come_from_the_environment_and_have_no_default() -> None:
    for secret in re.findall(r"\$\{(\w*(?:PASSWORD|API_KEY)[^}]*)\}", COMPOSE):
        assert secret.endswith(":?set it"), secret
    assert not re.search(r"postgresql://\w+:[^$]", COMPOSE)


@pytest.mark.parametrize("name", OURS)
def test_a_service_has_the_rights_of_its_role_and_no_other(name: str) -> None:
    urls = {key for key in SERVICES[name]["environment"] if key.startswith("DATABASE_URL")}
    if name == "setup":
        assert "DATABASE_URL" in urls
    else:
        assert urls == {f"DATABASE_URL_{name.upper()}"}
        assert f"penstock_{name}:" in SERVICES[name]["environment"][urls.pop()]
    assert SERVICES[name]["cap_drop"] == ["ALL"]
    assert SERVICES[name]["read_only"] is True


def test_loopback_alone_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 3
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_no_image_names_its_registry() -> None:
    images = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    images += [service["image"] for service in SERVICES.values()]
    assert all("/" not in image for image in images)


def test_what_is_copied_exists_and_is_let_in() -> None:
    let_in = {
        line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line[:1] == "!"
    }
    copied = [
        source
        for line in re.findall(r"^COPY ([^-].*)$", DOCKERFILE, re.MULTILINE)
        for source in line.split()[:-1]
    ]
    assert set(copied) == let_in
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_is_built_as_the_makefile_builds_and_runs_as_nobody_special() -> None:
    flags = re.search(r"CMAKE_ARGS \?= (.+)", (ROOT / "Makefile").read_text())
    assert flags is not None
    assert f'CMAKE_ARGS="{flags[1]}"' in DOCKERFILE
    assert "--require-hashes" in DOCKERFILE
    assert re.findall(r"^USER (\w+)$", DOCKERFILE, re.MULTILINE) == ["penstock"]
