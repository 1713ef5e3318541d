from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from tests.appliance.serving import TOKEN, Appliance, serving, write_layers, write_token_file


@pytest.fixture(scope="session")
def layers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_layers(tmp_path_factory.mktemp("appliance") / "data")


@pytest.fixture(scope="session")
def open_appliance(layers: Path) -> Iterator[Appliance]:
    """Answers anybody."""
    with serving(layers, "--open") as appliance:
        yield appliance


@pytest.fixture(scope="session")
def appliance(layers: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    """Answers who sends TOKEN; it has an SBOM."""
    folder = tmp_path_factory.mktemp("credentials")
    sbom = folder / "sbom.cdx.json"
    sbom.write_text(
        '{"bomFormat": "CycloneDX", "components": [{"name": "numpy", "version": "2.4.1",'
        ' "licenses": [{"license": {"id": "BSD-3-Clause"}}]}, {"name": "<i>libc6</i>", "version": "2.36"}]}'
    )
    environment = {
        "APPLIANCE_TOKEN_FILE": str(write_token_file(folder / "token.argon2")),
        "APPLIANCE_SBOM": str(sbom),
    }
    with serving(layers, environment=environment) as appliance:
        yield appliance


@pytest.fixture
def client(appliance: Appliance) -> Iterator[httpx2.Client]:
    """Sends the token."""
    with appliance.client(TOKEN) as client:
        yield client
