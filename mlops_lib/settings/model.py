"""Settings of section `model`."""

from typing import Any, Literal

from pydantic import Field, FiniteFloat

from mlops_lib.settings.names import ModelName
from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Name, Section


class InputSettings(Section):
    """One input of a network: the columns that it is made of, and its form."""

    column: str = Field("", description="the column that it is made of")
    columns: list[str] = Field([], description="several columns, as one matrix")
    form: Literal["", "number", "codes", "parts", "matrix", "array", "image", "sequence", "tokens"] = Field(
        "", description="empty: by the kind of the column"
    )
    dtype: Literal["", "float32", "int64", "uint8"] = Field(
        "", description="type of the numbers; empty: by the form; uint8 of an image: its values from 0 to 255"
    )
    shape: list[int] = Field(
        [],
        description="shape in each row: of an array, as [1, 8, 8]; of an image [3, height, width], or [1, ...] for grey",
    )
    length: int = Field(
        0, ge=0, description="items of each sequence (the last) or text (the first); 0: as many as there are"
    )
    resize: Literal["", "squash", "crop", "pad"] = Field(
        "", description="how images get the shape: squash (empty too), crop (the middle), pad (black)"
    )
    mean: list[FiniteFloat] = Field([], description="of each channel, taken from values of 0 to 1")
    std: list[FiniteFloat] = Field([], description="of each channel; values are divided by it")
    tokenizer: str = Field("", description="of a text: package.module:name, or a file tokenizer.json")


class ModelSettings(Section):
    """The model to train, and its name in the registry."""

    name: ModelName = Field(
        "model",
        description="name in the MLflow Model Registry",
        json_schema_extra=read_by("train-model", "register-model"),
    )
    wrapper: Name = Field(
        "lightning",
        description="lightning, sklearn, pyfunc, or package.module:Class",
        json_schema_extra=read_by("train-model", "evaluate-model", code=("train-model", "evaluate-model")),
    )
    implementation: Name = Field(
        "tabular",
        description="network, estimator, LLM or graph: a name, package.module:Class or my_agent.py:graph",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    params: dict[str, Any] = Field(
        {},
        description="keyword arguments of the implementation",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    format: Literal["export", "script", "pickle"] = Field(
        "export",
        description="how a network is logged: torch.export, TorchScript, or a pickle with its code",
        json_schema_extra=read_by("train-model"),
    )
    collate: str = Field(
        "",
        description="package.module:function, rows as dicts to a dict of tensors, for a network",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
    inputs: dict[str, str | list[str] | InputSettings] = Field(
        {},
        description="networks with several inputs: input -> column, columns, or {column, form, shape, ...}",
        json_schema_extra=read_by("train-model", code=("train-model",)),
    )
