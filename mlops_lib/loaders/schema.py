"""Names of the splits, and the columns of a dataset."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


class Schema(BaseModel):
    """Columns of a dataset: name to pandas dtype, and which of them are label and entity key."""

    model_config = ConfigDict(frozen=True)

    features: dict[str, str]
    label: str
    key: str = ""
