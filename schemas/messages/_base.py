from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """A piece of a message. Unknown fields are ignored, so that an older reader survives a newer writer."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Message(Part):
    """The value of one record. `TYPE` is its CloudEvents type; the number at its end rises only with a break."""

    TYPE: ClassVar[str]
