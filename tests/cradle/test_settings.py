"""Variables over the file over defaults, and no value in any error."""

from pathlib import Path

import pytest

from cradle.compose import embedded_urls, replication, resolve
from cradle.generated import settings_page
from cradle.settings import Settings, load_settings, mask, unknown_variables, where
from schemas.errors import CradleError


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("CRADLE_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def origins(settings: Settings) -> dict[str, str]:
    return {one.name: one.origin for one in where(settings, embedded_urls(settings.home))}


def test_defaults_are_the_embedded_stack_under_the_current_folder(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.home == tmp_path / ".cradle"
    assert set(origins(settings).values()) == {"default", "embedded"}
    assert replication(settings) == 1


def test_a_variable_wins_over_the_file_and_the_file_over_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cradle.toml").write_text('poll_records = 7\nlog_level = "error"\n')
    monkeypatch.setenv("CRADLE_POLL_RECORDS", "9")
    settings = load_settings()
    assert (settings.poll_records, settings.log_level, settings.poll_wait) == (9, "error", 0.2)
    found = origins(settings)
    assert (found["poll_records"], found["log_level"], found["poll_wait"]) == ("environment", "file", "default")


def test_the_home_s_file_goes_before_the_folder_s_and_a_named_one_before_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cradle.toml").write_text("poll_records = 1")
    home = tmp_path / "home"
    home.mkdir()
    (home / "cradle.toml").write_text("poll_records = 2")
    monkeypatch.setenv("CRADLE_HOME", str(home))
    assert load_settings().poll_records == 2
    (tmp_path / "named.toml").write_text("poll_records = 3")
    monkeypatch.setenv("CRADLE_CONFIG", str(tmp_path / "named.toml"))
    assert load_settings().poll_records == 3


@pytest.mark.parametrize(
    ("variables", "file", "field"),
    [
        ({"CRADLE_POLL_RECORDS": "s3cr3t"}, "", "poll_records"),
        ({}, 'no_such_setting = "s3cr3t"', "no_such_setting"),
        ({}, 's3cr3t = "', "cradle.toml"),
        ({"CRADLE_CONFIG": "/nowhere/s3cr3t.toml"}, "", "CRADLE_CONFIG"),
    ],
)
def test_what_is_invalid_is_named_without_its_value(
    variables: dict[str, str], file: str, field: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cradle.toml").write_text(file)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CradleError) as caught:
        load_settings()
    assert caught.value.code == "settings.invalid"
    assert field in caught.value.sentence
    assert "s3cr3t" not in caught.value.sentence


def test_passwords_are_masked_wherever_settings_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_LEDGER_URL", "postgresql://cradle:s3cr3t@db:4005/cradle")
    monkeypatch.setenv("CRADLE_PROGRESS_URL", "redis://:s3cr3t@redis:6379/0")
    settings = load_settings()
    shown = {one.name: one.value for one in where(settings, {})}
    assert shown["ledger_url"] == "postgresql://cradle:***@db:4005/cradle"
    assert shown["progress_url"] == "redis://:***@redis:6379/0"
    assert mask("file:///a/b@c") == "file:///a/b@c"


def test_misspelt_variables_are_found_and_those_of_tests_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRADLE_BROKR_URL", "kafka://k:9092")
    monkeypatch.setenv("CRADLE_TEST_KAFKA", "k:9092")
    monkeypatch.setenv("CRADLE_DEBUG", "1")
    assert unknown_variables() == ["CRADLE_BROKR_URL"]


def test_a_stack_that_never_ran_is_said_so_once_its_url_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(CradleError) as caught:
        resolve(load_settings())
    assert caught.value.code == "stack.down"
    for port in ("BROKER", "LEDGER", "PARAMETERS", "PROGRESS"):
        monkeypatch.setenv(f"CRADLE_{port}_URL", f"{port.lower()}://host")
    settings = load_settings()
    urls = resolve(settings)
    assert urls.broker == "broker://host"
    assert urls.keys == f"file://{settings.home}/keys"
    assert replication(settings) == 3


def test_every_setting_is_explained() -> None:
    page = settings_page()
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert f"`CRADLE_{name.upper()}`" in page
