"""The base of every group of settings, and the types that the groups share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and does not guess at types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())
