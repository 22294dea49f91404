"""The base of every group of settings, and the types that the groups share."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

Name = Annotated[str, Field(min_length=1)]
#: Forms of a setting that is one name or several; an error does not show them as keys.
FORMS = ("one name", "several names")
#: A name, or a list of names.
Names = Annotated[
    Annotated[Name, Tag(FORMS[0])]
    | Annotated[tuple[Name, ...], Field(strict=False, min_length=1), Tag(FORMS[1])],
    Discriminator(lambda value: FORMS[isinstance(value, list | tuple)]),
]
Fraction = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and does not guess at types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())
