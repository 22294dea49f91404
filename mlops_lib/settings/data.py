"""Settings of section `data`: where rows come from, what their columns mean and what they must satisfy."""

import math
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mlops_lib.columns.schema import Kind
from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Fraction, Name, Names, Section

ColumnKind = Literal[Kind, "drop", "day_first", "month_first"]


class FeatureStoreSettings(Section):
    """The feature store, and the feature service that the model learns from."""

    provider: Name = Field("feast", description="feast, tecton, or package.module:Class")
    repo: str = Field("", description="Feast: folder with feature_store.yaml and the definitions")
    url: str = Field("", description="Tecton: address of the cluster, https://example.tecton.ai")
    workspace: str = Field("", description="Tecton: workspace of the feature service")
    service: str = Field("", description="feature service that training and serving read")
    labels: str = Field("", description="package.module:function, source rows to key, timestamp, label")
    timestamp: Name = Field("event_timestamp", description="column: the time as of which features are joined")


class SqlSettings(Section):
    """The query or table that the SQL loader reads from the database at ``data.source``."""

    query: str = Field("", description="SELECT with an ORDER BY; values as :name, never inserted as text")
    table: str = Field("", description="table or view, instead of a query; schema.table works too")
    params: dict[str, Any] = Field({}, description="values of the query's :names")
    chunk_rows: int = Field(50_000, ge=1, description="rows held in memory at once while streaming")


class CsvSettings(Section):
    """How CSV files are written, where it cannot be recognised."""

    separator: str = Field("", max_length=1, description="character between cells; empty: recognised")
    decimal: Literal["", ".", ","] = Field("", description="decimal mark; empty: recognised")
    encoding: str = Field("", description="name of the encoding, such as cp949; empty: recognised")
    quote: str = Field("", max_length=1, description='character around cells with a separator; empty: "')


class SplitSettings(Section):
    """How rows are split into train, validation and test; ready-made folders are taken as they are."""

    by: Literal["key", "label", "time", "column"] = Field(
        "key", description="key, label (stratified), time (the test split is the latest), or column"
    )
    column: str = Field("", description="column of the time, or of the names of the splits")
    validation_from_train: bool = Field(
        False, description="take the validation split out of the train split of a ready-made folder"
    )

    @model_validator(mode="after")
    def _column_is_named(self) -> "SplitSettings":
        if (self.by in ("time", "column")) != bool(self.column):
            raise ValueError(f"by: {self.by} needs {'a' if not self.column else 'no'} column")
        return self


class ColumnCheck(Section):
    """Rules for the values of one column."""

    type: Literal["integer", "number", "boolean", "text", "datetime"] | None = None
    nullable: bool = Field(False, description="whether a value may be missing")
    unique: bool = Field(False, description="whether a value may occur only once in all splits")
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    values: Annotated[tuple[Any, ...], Field(strict=False)] = Field((), description="the only values allowed")

    @field_validator("values")
    @classmethod
    def _are_values(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        for value in values:
            is_nan = isinstance(value, float) and math.isnan(value)
            if value is None or is_nan or isinstance(value, list | dict):
                raise ValueError(
                    f"{value} is no single value. `nullable: true` allows missing values; write 'null' or 'nan' in "
                    "quotes for the text"
                )
        return values


class CheckSettings(Section):
    """The declared schema of the prepared dataset; the first step stops if a row breaks it."""

    columns: dict[str, ColumnCheck] = Field({}, description="column -> rules for its values")
    unique: tuple[str, ...] = Field((), description="columns whose values together identify a row")


class DataSettings(Section):
    """The source of the data, the meaning of its columns, and the split."""

    loader: Name = Field(
        "local",
        description="local, images, feature_store, sql, or package.module:Class",
        json_schema_extra=read_by("get-data", code=("get-data",)),
    )
    source: Name = Field(
        description="file, folder or URI that the loader reads; view://NAME with a feature store",
        json_schema_extra=read_by("get-data"),
    )
    prepare: str = Field(
        "",
        description="package.module:function, DataFrame to DataFrame; empty: none",
        json_schema_extra=read_by("get-data", code=("get-data",)),
    )
    served_rows: Literal["prepared", "raw"] = Field(
        "prepared",
        description="what a request holds with data.prepare: prepared: the columns that it returns; raw: rows of the "
        "source, which data.prepare makes ready in the service (it must be row-wise)",
        json_schema_extra=read_by("get-data", "train-model", code=("train-model",)),
    )
    label: Names = Field(
        description="column to predict; a list: several columns, for the tasks multilabel and multioutput; label with the "
        "loader images, whose folders give it"
    )
    key: str = Field("", description="entity column (user_id); it decides the split and is no feature")
    weight: str = Field(
        "", description="column with the weight of a row in the fit and in the metrics; it is no feature"
    )
    features: tuple[str, ...] = Field(
        (), description="columns to learn from; empty: all that carry information"
    )
    reference_columns: tuple[str, ...] = Field(
        (),
        description="columns of the reference beside the label, for metrics and slices; they are no features, and a "
        "service never asks for them",
    )
    columns: dict[str, ColumnKind] = Field(
        {},
        description="column -> its kind, where the inferred one is wrong; day_first or month_first: dates such as "
        "03/04/2012; drop: leave it out",
    )
    test_fraction: Fraction = Field(
        0.25,
        description="share of keys in the test split; 1: all rows are judged (text task, where nothing is fitted)",
        json_schema_extra=read_by("get-data"),
    )
    validation_fraction: Fraction = Field(
        # Not a validator before the model: strict JSON settings would lose their tuples in it.
        default_factory=lambda known: 0.0 if known.get("test_fraction") == 1 else 0.15,
        description="share of keys in the validation split; 0.15, or 0 where all rows are for the test",
        json_schema_extra=read_by("get-data"),
    )
    seed: int = Field(0, description="seed of the split by key", json_schema_extra=read_by("get-data"))
    split: SplitSettings = Field(SplitSettings(), json_schema_extra=read_by("get-data"))
    missing_label: Literal["error", "drop"] = Field(
        "error",
        description="rows without a label: error, or drop them and show how many",
        json_schema_extra=read_by("get-data"),
    )
    missing_values: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        (),
        description="texts (and, as texts, numbers) that mean a missing value in every column",
        json_schema_extra=read_by("get-data"),
    )
    csv: CsvSettings = Field(CsvSettings(), json_schema_extra=read_by("get-data"))
    streaming: bool = Field(False, description="train from Parquet files on disk, not from memory")
    feature_store: FeatureStoreSettings = Field(
        FeatureStoreSettings(),
        json_schema_extra=read_by("get-data", "train-model", "evaluate-model", code=("get-data",)),
    )
    sql: SqlSettings = Field(SqlSettings(), json_schema_extra=read_by("get-data"))
    checks: CheckSettings = Field(CheckSettings(), json_schema_extra=read_by("get-data"))

    @property
    def labels(self) -> tuple[str, ...]:
        """The columns to predict."""
        return (self.label,) if isinstance(self.label, str) else self.label

    @model_validator(mode="after")
    def _labels_fit_the_source(self) -> "DataSettings":
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"label: {list(self.labels)} names a column twice")
        if len(self.labels) > 1 and self.split.by == "label":
            raise ValueError("split: {by: label} needs one label; split by key, time or column")
        if len(self.labels) > 1 and self.loader == "feature_store":
            raise ValueError("the loader feature_store takes one label")
        return self

    @model_validator(mode="after")
    def _prepare_can_travel(self) -> "DataSettings":
        if self.served_rows == "raw" and not self.prepare:
            raise ValueError(
                "served_rows: raw needs prepare; without it, a request has rows of the source anyway"
            )
        if self.served_rows == "raw" and self.loader == "feature_store":
            raise ValueError(
                "served_rows: raw does not work with the loader feature_store, whose features are looked up"
            )
        return self

    @model_validator(mode="after")
    def _fractions_are_shares_of_the_rows(self) -> "DataSettings":
        if self.validation_fraction + self.test_fraction > 1:
            raise ValueError("validation_fraction + test_fraction must be 1 at most")
        return self
