"""The contract of each notebook: its parameters and its outputs.

The fields of a `Parameters` class are the notebook's ``parameters`` cell and the component's
signature. The fields of an `Outputs` class are the names that the notebook glues and the component
returns. A test holds them equal.
"""

from typing import Annotated, Any, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

from mlops_lib.redact import password_in
from mlops_lib.settings.names import model_name

#: Parameters that are outputs of an earlier step; every other parameter is an argument of the pipeline.
EARLIER_OUTPUTS = ("parent_run_id", "data", "run_id")

Count = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Text = Annotated[str, Field(min_length=1)]


def _without_password(source: str) -> str:
    if password_in(source):
        raise ValueError("a parameter is written into the notebook: set DATA_SOURCE_PASSWORD instead")
    return source


RegistryName = Annotated[str, AfterValidator(lambda name: name and model_name(name))]
Source = Annotated[str, AfterValidator(_without_password)]


def setting_of(parameters: "type[Parameters]", name: str) -> str:
    """The dotted key of the setting that a parameter replaces when it is not at its default; "" for none."""
    extra = parameters.model_fields[name].json_schema_extra
    return str(extra.get("setting", "")) if isinstance(extra, dict) else ""


def _replaces(setting: str) -> dict[str, Any]:
    return {"setting": setting}


def may_be_none(annotation: Any) -> bool:
    """Whether None is among the types of a field."""
    return type(None) in get_args(annotation)


class _Contract(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class Parameters(_Contract):
    """Parameters that every notebook has."""

    parent_run_id: str = Field("", description="MLflow run of the whole pipeline; empty: none")


class Outputs(_Contract):
    """Outputs of a notebook; `astuple` is what a pipeline component returns."""

    def astuple(self) -> tuple[Any, ...]:
        """Values in the order of the fields. Kubeflow has no null: an output that may be None is a text,
        "" for None."""
        nullable = {name for name, field in type(self).model_fields.items() if may_be_none(field.annotation)}
        return tuple(
            ("" if value is None else str(value)) if name in nullable else value
            for name, value in self.model_dump().items()
        )


class GetDataParameters(Parameters):
    """The first step writes the folder `data`."""

    data: str = Field("", description="folder to write; empty: data/ in the work folder")
    loader: str = Field(
        "",
        description="loader name; empty: data.loader of config.yaml",
        json_schema_extra=_replaces("data.loader"),
    )
    source: Source = Field(
        "",
        description="file, folder or URI; empty: data.source of config.yaml",
        json_schema_extra=_replaces("data.source"),
    )
    limit: Count = Field(0, description="rows to keep of each split; 0 means all")


class GetDataOutputs(Outputs):
    """How many rows each split has and the fingerprint of the prepared dataset;
    a golden set may be all test."""

    train_rows: int = Field(ge=0)
    validation_rows: int = Field(ge=0)
    test_rows: Positive
    fingerprint: Text
    parent_run_id: str


class TrainParameters(Parameters):
    """Training reads the folder `data`."""

    data: str = Field("", description="folder of the prepared dataset; empty: data/ in the work folder")
    max_epochs: Count = Field(
        0,
        description="most passes over the data; 0: train.max_epochs of config.yaml",
        json_schema_extra=_replaces("train.max_epochs"),
    )
    seed: int = Field(
        -1,
        ge=-1,
        description="seed of weights and shuffling; -1: train.seed of config.yaml",
        json_schema_extra=_replaces("train.seed"),
    )


class TrainOutputs(Outputs):
    """The MLflow run that holds the model, and the model's address."""

    run_id: Text
    model_uri: Text


class EvaluateParameters(Parameters):
    """Evaluation reads the folder `data` and the model of `run_id`."""

    data: str = Field("", description="folder of the prepared dataset; empty: data/ in the work folder")
    run_id: str = Field("", description="MLflow run of the model; empty: the latest trained run")
    threshold: FiniteFloat = Field(
        -1.0,
        description="score to reach; -1: evaluation.threshold of config.yaml",
        json_schema_extra=_replaces("evaluation.threshold"),
    )


class EvaluateOutputs(Outputs):
    """The score (None: the metric has no value), the threshold, the gate's verdict, and why it refused.

    Of a model that passed, `reason` is what a reader must know, such as a spent budget.
    """

    score: FiniteFloat | None
    threshold: FiniteFloat
    passed: bool
    reason: str = ""


class RegisterParameters(Parameters):
    """Registration reads the model of `run_id`."""

    run_id: str = Field("", description="MLflow run of the model; empty: the latest run that passed the gate")
    model_name: RegistryName = Field("", description="name in the registry; empty: model.name of config.yaml")


class RegisterOutputs(Outputs):
    """The version that the registry gave the model."""

    model_name: Text
    version: Positive
    stage: Text
