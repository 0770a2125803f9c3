"""Bases and types of request and answer bodies."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


class Body(BaseModel):
    """A request body; a field that nobody knows is an error, not a silent loss."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)


class Answer(BaseModel):
    """An answer."""

    model_config = ConfigDict(from_attributes=True)


def _utc(time: datetime) -> datetime:
    try:
        return time.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("is outside the years 1 to 9999 in UTC") from error


def _storable(text: str) -> str:
    if "\x00" in text:
        raise ValueError("must not contain the character NUL")
    return text


Time = Annotated[AwareDatetime, AfterValidator(_utc)]
Text = Annotated[str, Field(max_length=2000), AfterValidator(_storable)]
Name = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_storable)]
Serial = Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]
Minor = Annotated[int, Field(ge=0, le=10**12, description="money in minor units, e.g. cents")]
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]
# Numbers from callers that PostgreSQL must be able to hold.
Id = Annotated[int, Field(ge=1, le=2**63 - 1)]
Count = Annotated[int, Field(ge=1, le=10**6)]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]
