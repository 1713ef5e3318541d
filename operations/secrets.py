"""Generates what a deployment must keep to itself. Nothing in the repository has a default for these."""

import os
import secrets
from pathlib import Path
from typing import Final

from schemas.errors import CradleError

NAMES: Final = (
    "CRADLE_LEDGER_PASSWORD",
    "CRADLE_INSTALLATION_PASSWORD",
    "CRADLE_REDIS_PASSWORD",
    "CRADLE_S3_ACCESS_KEY",
    "CRADLE_S3_SECRET_KEY",
    "CRADLE_KAFKA_CLUSTER_ID",
    "CRADLE_SERVICE_TOKEN",
)
"""The variables that docker-compose.yml refuses to start without."""
BYTES: Final = 24
"""Of each secret: 192 bits, written as 48 hex digits, which no URL, shell or .env file needs quoted."""
CLUSTER_ID_BYTES: Final = 16
"""A Kafka cluster id is a UUID in URL-safe base64, 22 letters."""


def write_secrets(file: Path) -> list[str]:
    """Appends those of NAMES that `file` gives no value, mode 0600; returns their names, in order.

    What is in the file stays, so running it twice changes nothing. Raises CradleError `settings.invalid` if the file
    cannot be written.
    """
    try:
        present = _assigned(file.read_text()) if file.exists() else {}
        missing = [name for name in NAMES if not present.get(name)]
        lines = [f"{name}={_generate(name)}\n" for name in missing]
        with os.fdopen(os.open(file, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), "a+") as output:
            os.fchmod(output.fileno(), 0o600)
            output.write(_line_end(file) + "".join(lines))
    except OSError:
        raise CradleError("settings.invalid", what=f"{file.name} cannot be read or written") from None
    return missing


def _assigned(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines() if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _generate(name: str) -> str:
    if name != "CRADLE_KAFKA_CLUSTER_ID":
        return secrets.token_hex(BYTES)
    while (made := secrets.token_urlsafe(CLUSTER_ID_BYTES)).startswith("-"):
        pass  # Kafka's format tool would take it for an option
    return made


def _line_end(file: Path) -> str:
    """A line break where the file lacks its last one."""
    text = file.read_text()
    return "\n" if text and not text.endswith("\n") else ""
