"""Settings of section `data`: where rows come from, what their columns mean and what they must satisfy."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from mlops_lib.settings.section import Fraction, Name, Section


class FeatureStoreSettings(Section):
    """The feature store: where it is, and which of its feature services the model learns from."""

    provider: Name = Field("feast", description="feast, tecton, or package.module:Class")
    repo: str = Field("", description="Feast: folder with feature_store.yaml and the definitions")
    url: str = Field("", description="Tecton: address of the cluster, https://example.tecton.ai")
    workspace: str = Field("", description="Tecton: workspace of the feature service")
    service: str = Field("", description="feature service that training and serving read")
    labels: str = Field("", description="package.module:function, source rows to key, timestamp, label")
    timestamp: Name = Field("event_timestamp", description="column: the time as of which features are joined")


class SqlSettings(Section):
    """What the SQL loader reads from the database at ``data.source``: a query or a table."""

    query: str = Field("", description="SELECT with an ORDER BY; values as :name, never pasted in")
    table: str = Field("", description="table or view, instead of a query; schema.table works too")
    params: dict[str, Any] = Field({}, description="values of the query's :names")
    chunk_rows: int = Field(50_000, ge=1, description="rows held in memory at once while streaming")


class ColumnCheck(Section):
    """What one column must be."""

    type: Literal["integer", "number", "boolean", "text", "datetime"] | None = None
    nullable: bool = Field(False, description="whether a value may be missing")
    unique: bool = Field(False, description="whether no value may come twice in a split")
    min: float | None = Field(None, description="smallest value allowed")
    max: float | None = Field(None, description="largest value allowed")
    values: Annotated[tuple[Any, ...], Field(strict=False)] = Field((), description="the only values allowed")


class CheckSettings(Section):
    """The declared schema of the prepared dataset; 01_get_data stops on rows that break it."""

    columns: dict[str, ColumnCheck] = Field({}, description="column -> what it must be")
    unique: tuple[str, ...] = Field((), description="columns whose values together identify a row")


class DataSettings(Section):
    """Which data to read and what its columns mean."""

    loader: Name = Field("local", description="local, feature_store, sql, or package.module:Class")
    source: Name = Field(description="file, folder or URI that the loader reads")
    prepare: str = Field("", description="package.module:function, DataFrame to DataFrame; empty: none")
    label: Name = Field(description="column to predict")
    key: str = Field("", description="entity column (user_id); it decides the split and is no feature")
    features: tuple[str, ...] = Field((), description="columns to learn from; empty: all but key and label")
    validation_fraction: Fraction = Field(0.15, description="share of keys in the validation split")
    test_fraction: Fraction = Field(0.25, description="share of keys in the test split")
    seed: int = Field(0, description="seed of the split by key")
    streaming: bool = Field(False, description="train from Parquet files on disk, not from memory")
    feature_store: FeatureStoreSettings = FeatureStoreSettings()
    sql: SqlSettings = SqlSettings()
    checks: CheckSettings = CheckSettings()

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> "DataSettings":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError("validation_fraction + test_fraction must leave something to train on (< 1)")
        return self
