"""docker-compose.yml describes this flow, asks for every secret, and has a default for none."""

import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from cradle.commands import app
from cradle.flow import read_flow
from operations.secrets import NAMES, write_secrets

ROOT = Path(__file__).parents[2]
COMPOSE_GO = ROOT / ".services" / "bin" / "compose-go" / "cmd"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    return content


def test_every_stage_is_a_service_that_runs_it(compose: dict[str, Any]) -> None:
    for stage in read_flow().stages:
        assert compose["services"][stage]["command"] == ["run", stage]
    gpus = {name for name, service in compose["services"].items() if "deploy" in service}
    assert gpus == {"embed"}


def test_lag_is_measured_once_also_while_no_stage_runs(compose: dict[str, Any]) -> None:
    measuring = [name for name, service in compose["services"].items() if service.get("command", [""])[0] == "lag"]
    assert measuring == ["lag"]
    words = compose["services"]["lag"]["command"]
    port = words[words.index("--listen") + 1]
    assert f":{port}/metrics" in compose["services"]["lag"]["healthcheck"]["test"][-1]
    assert f"cradle lag --listen {port}`" in (ROOT / "docs" / "operating.md").read_text()


def test_the_services_have_a_token_and_none_of_the_installation_s_secrets(compose: dict[str, Any]) -> None:
    for name, port in {"embeddings": 8001, "vision": 8002}.items():
        service = compose["services"][name]
        assert service["command"] == ["serve", name]
        assert service["ports"] == [f"127.0.0.1:{port}:{port}"]
        required = {key for key, value in service["environment"].items() if ":?" in value}
        assert required == {"CRADLE_SERVICE_TOKEN"}
        assert service["read_only"]
        assert "volumes" not in service


def test_the_stage_with_the_gpu_has_the_engines_that_use_it(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert services["embed"]["build"]["args"] == {"CONSTRAINTS": "torch"}
    assert (ROOT / "constraints" / "torch.txt").is_file()
    others = {services[stage]["image"] for stage in read_flow().stages if stage != "embed"}
    assert services["embed"]["image"] not in others


def test_every_server_says_how_it_is(compose: dict[str, Any]) -> None:
    for name, service in compose["services"].items():
        assert service["healthcheck"].get("test") or name in ("prepare", "cradle"), name
        assert set(service["networks"]) <= set(compose["networks"]), name
    assert set(compose["networks"]) == {"cradle-network", "mcp-central-network", "platform-network"}


def test_ports_are_those_of_the_platform_and_for_this_host_alone(compose: dict[str, Any]) -> None:
    published = [port for service in compose["services"].values() for port in service.get("ports", ())]
    assert sorted(published) == sorted(f"127.0.0.1:{port}:{port}" for port in (4005, 5433, 4050, 4051, 8001, 8002))


def test_only_commands_by_hand_may_write_into_the_archive(compose: dict[str, Any]) -> None:
    services = compose["services"].items()
    mounted = {
        name: [at for at in service.get("volumes", ()) if at.startswith("archive:")] for name, service in services
    }
    assert all(mounted[stage] for stage in read_flow().stages)
    writing = {name for name, volumes in mounted.items() if any(not at.endswith(":ro") for at in volumes)}
    assert writing == {"prepare", "cradle"}  # the first mount gives a new volume its owner
    [folder] = {at.split(":")[1] for volumes in mounted.values() for at in volumes}
    assert f"CRADLE_ARCHIVE_URL:-file://{folder}}}" in (ROOT / "docker-compose.yml").read_text()
    assert folder in (ROOT / "Dockerfile").read_text()


def test_every_secret_is_required_and_has_no_default() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = dict(re.findall(r"\$\{(CRADLE_\w+)(:\?|:-)?", text))
    assert {name for name, how in used.items() if how == ":?"} == set(NAMES)
    example = dict(re.findall(r"^(CRADLE_\w+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert example == dict.fromkeys(NAMES, "")


def test_it_resolves_with_generated_secrets_alone(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    write_secrets(env)
    secrets = dict(line.split("=", 1) for line in env.read_text().splitlines())
    text = (ROOT / "docker-compose.yml").read_text()
    resolved = re.sub(r"\$\{(\w+)(?::[?-]([^}]*))?\}", lambda found: secrets.get(found[1]) or found[2], text)
    services = yaml.safe_load(resolved)["services"]
    assert secrets["CRADLE_LEDGER_PASSWORD"] in services["chunk"]["environment"]["CRADLE_LEDGER_URL"]
    assert services["redis"]["environment"]["REDISCLI_AUTH"] in services["chunk"]["environment"]["CRADLE_PROGRESS_URL"]


def test_the_compose_specification_allows_it(tmp_path: Path) -> None:
    assert_valid = validator()
    assert_valid(ROOT / "docker-compose.yml")
    wrong = tmp_path / "docker-compose.yml"
    wrong.write_text((ROOT / "docker-compose.yml").read_text().replace("restart:", "restrat:"))
    with pytest.raises(AssertionError, match="restrat"):
        assert_valid(wrong)


def validator() -> Callable[[Path], None]:
    """Has a file checked by Docker Compose's own reader, without substitution. Skips where that is not installed."""
    if not COMPOSE_GO.exists():
        pytest.skip("compose-go is not there: `.ci/run` brings it")

    def assert_valid(file: Path) -> None:
        command = [COMPOSE_GO, "-no-interpolation", file]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return assert_valid


def test_secrets_are_generated_once_and_are_the_owner_s(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("CRADLE_REDIS_PASSWORD=chosen\nOTHER=1")
    file.chmod(0o644)
    assert write_secrets(file) == [name for name in NAMES if name != "CRADLE_REDIS_PASSWORD"]
    first = file.read_text()
    values = dict(line.split("=", 1) for line in first.splitlines())
    assert values["CRADLE_REDIS_PASSWORD"] == "chosen"
    assert values["OTHER"] == "1"
    assert all(len(values[name]) >= 22 for name in NAMES if name != "CRADLE_REDIS_PASSWORD")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert write_secrets(file) == []
    assert file.read_text() == first


def test_secrets_init_prints_names_and_never_values(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    done = CliRunner().invoke(app, ["secrets", "init", "--file", str(file)])
    assert done.exit_code == 0
    values = [line.partition("=")[2] for line in file.read_text().splitlines()]
    assert len(values) == len(NAMES)
    assert not any(value in done.output for value in values)
