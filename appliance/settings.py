"""What the container's surroundings say: a handful of environment variables."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from appliance.sbom import SBOM

TOKEN_FILE: Final = "/run/credentials/token.argon2"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Settings:
    token_file: Path
    """Holds the argon2 hash of the token."""
    hosts: tuple[str, ...]
    """Names under which the server may be asked, beside addresses and localhost."""
    sbom: Path
    embeddings_url: str | None
    """A service that runs the passages' model, where that does not lie in the image."""
    embeddings_model: str | None
    """How the service calls the model, if not as the parameters do."""
    embeddings_token: str | None


def read_settings(environment: Mapping[str, str]) -> Settings:
    hosts = (host.strip() for host in environment.get("APPLIANCE_HOSTS", "").split(","))
    return Settings(
        token_file=Path(environment.get("APPLIANCE_TOKEN_FILE") or TOKEN_FILE),
        hosts=tuple(host for host in hosts if host),
        sbom=Path(environment.get("APPLIANCE_SBOM") or SBOM),
        embeddings_url=environment.get("EMBEDDINGS_URL") or None,
        embeddings_model=environment.get("EMBEDDINGS_MODEL") or None,
        embeddings_token=environment.get("EMBEDDINGS_TOKEN") or None,
    )
