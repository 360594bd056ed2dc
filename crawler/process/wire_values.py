"""What all frames on the control socket are made of: strict typed values with their JSON form.

The frames themselves are in `crawler.process.job_frame` and `crawler.process.control_frames`. Reading is strict: a
field that is missing, unknown or of the wrong type raises `WireError`, which quotes nothing of the frame.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator, ValidationError

from data.errors import WireError


def _decoded(value: object) -> bytes:
    if isinstance(value, str):
        return base64.b64decode(value, validate=True)
    if isinstance(value, bytes):
        return value
    raise ValueError("neither bytes nor base64")


def _hex_decoded(value: object) -> bytes:
    if isinstance(value, str):
        return bytes.fromhex(value)
    if isinstance(value, bytes):
        return value
    raise ValueError("neither bytes nor hex digits")


Base64 = Annotated[bytes, PlainValidator(_decoded), PlainSerializer(lambda data: base64.b64encode(data).decode())]
Hex = Annotated[bytes, PlainValidator(_hex_decoded), PlainSerializer(bytes.hex)]
# The range of a database column: a number outside it is refused here, not in the middle of a transaction.
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class WireValue(BaseModel):
    """Base of all values that are sent on the control socket, as a frame of their own or inside another value."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="forbid",
        validate_by_name=True,
        validate_by_alias=True,
        # A frame of a crawl process may hold content of a site, which no message may quote.
        hide_input_in_errors=True,
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_options: Any) -> None:
        """Note the names of the fields, which error messages may show."""
        for name, field in cls.model_fields.items():
            _FIELD_NAMES.update({name, str(field.validation_alias or name)})

    def to_json(self) -> bytes:
        """The payload of its frame."""
        return self.model_dump_json(by_alias=True).encode()

    @classmethod
    def from_json(cls, payload: bytes | bytearray) -> Self:
        """The inverse of `to_json`; raises WireError if the payload is malformed."""
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            # The original exception holds the frame: it is not chained.
            raise malformed(cls.__name__, error) from None


_FIELD_NAMES: set[str] = set()


def malformed(what: str, error: ValidationError) -> WireError:
    """An error that names the wrong fields, as far as they are ours, and never their values.

    Args:
        what: the kind of frame.
        error: of reading it.
    """
    wrong = [each for each in error.errors(include_input=False, include_url=False) if each["type"] != "extra_forbidden"]
    # keys of mappings are content of the frame: only names that our frames define are shown
    places = [[str(part) for part in each["loc"] if part in _FIELD_NAMES] for each in wrong]
    names = sorted({".".join(place) or "the frame itself" for place in places})
    return WireError(
        f"a peer process sent a malformed {what}: "
        + (f"missing or wrong: {', '.join(names[:5])}" if names else "it has unknown fields")
    )
