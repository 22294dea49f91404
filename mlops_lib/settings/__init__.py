"""Every setting there is: its section, type, default and meaning. How they are resolved is in `mlops_lib.config`."""

import hashlib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from mlops_lib.errors import ConfigError

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Policy = Literal["reject", "default", "last_known"]


#: Metrics of the tasks with numbers -> whether higher is better. None that is goes above 1, none that is not below 0.
METRICS: dict[str, dict[str, bool]] = {
    "classification": {
        "roc_auc": True,
        "average_precision": True,
        "accuracy": True,
        "balanced_accuracy": True,
        "f1": True,
        "log_loss": False,
        "brier": False,
    },
    "regression": {"r2": True, "rmse": False, "mae": False, "median_absolute_error": False},
}


class Section(BaseModel):
    """A frozen group of settings that refuses unknown keys and does not guess at types."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, protected_namespaces=())


class MlflowSettings(Section):
    """Where runs, artifacts and models are kept."""

    tracking_uri: Name = Field("sqlite:///.mlops/mlflow.db", description="MLflow server, or a SQLite file")
    experiment: Name = Field("default", description="experiment that training logs to")


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


class ModelSettings(Section):
    """What is trained and the name it is registered under."""

    name: Name = Field("model", description="name in the MLflow Model Registry")
    wrapper: Name = Field("lightning", description="lightning, sklearn, pyfunc, or package.module:Class")
    implementation: Name = Field(
        "tabular", description="network or estimator: a name or package.module:Class"
    )
    params: dict[str, Any] = Field({}, description="keyword arguments of the implementation")


class TrainSettings(Section):
    """How a network is fitted; estimators without epochs read only `seed`."""

    max_epochs: int = Field(50, ge=1, description="most passes over the training data")
    patience: int = Field(5, ge=1, description="epochs without a better validation loss before stopping")
    batch_size: int = Field(256, ge=1, description="rows in one step, over all processes")
    seed: int = Field(0, ge=0, description="seed of weights and shuffling")
    accelerator: Name = Field("auto", description="Lightning's accelerator: auto, cpu, gpu")
    processes: int = Field(1, ge=1, description="processes (with GPUs: GPUs) that share a network's training")
    nodes: int = Field(1, ge=1, description="machines of so many processes: a TrainJob on Kubernetes")

    @model_validator(mode="after")
    def _each_process_has_a_batch(self) -> "TrainSettings":
        ranks = self.processes * self.nodes
        if ranks > 1 and self.batch_size < 2 * ranks:
            raise ValueError(f"batch_size is shared by {ranks} processes: make it {2 * ranks} rows or more")
        return self


class Dimension(Section):
    """Values that a search may give one setting: a range of numbers, or choices."""

    type: Literal["float", "int", "categorical"]
    low: FiniteFloat | None = Field(None, description="float, int: smallest value")
    high: FiniteFloat | None = Field(None, description="float, int: largest value, itself included")
    log: bool = Field(False, description="float, int: look as closely at 1 to 10 as at 10 to 100")
    choices: Annotated[tuple[Any, ...], Field(strict=False)] = Field(
        (), description="categorical: the values"
    )

    @model_validator(mode="after")
    def _is_a_range_or_choices(self) -> "Dimension":
        if self.type == "categorical":
            if len(self.choices) < 2 or self.low is not None or self.high is not None or self.log:
                raise ValueError("categorical takes two or more choices, and nothing else")
            return self
        if self.low is None or self.high is None or self.low >= self.high or self.choices:
            raise ValueError(f"{self.type} takes low and high, low below high, and no choices")
        if self.log and self.low <= 0:
            raise ValueError("with log, low must be above 0")
        if self.type == "int" and (self.low % 1 or self.high % 1):
            raise ValueError("int takes whole numbers as low and high")
        return self


class SearchSettings(Section):
    """What `mlops search` tries: hyper-parameters, judged on the validation split."""

    trials: int = Field(20, ge=1, description="how many sets of values are tried")
    parallel: int = Field(
        4, ge=1, description="on Kubeflow: trials at once; each round learns from those before"
    )
    seed: int = Field(0, ge=0, description="the same seed and scores give the same trials")
    space: dict[str, Dimension] = Field({}, description="train.x or model.params.x -> values to try")

    @model_validator(mode="after")
    def _names_can_be_searched(self) -> "SearchSettings":
        known = {f"train.{name}" for name in TrainSettings.model_fields}
        known -= {"train.processes", "train.nodes", "train.accelerator"}  # where it runs, not what it learns
        for name in self.space:
            own = name.removeprefix("model.params.")
            if name not in known and not (own != name and own.isidentifier()):
                raise ValueError(
                    f"{name!r} cannot be searched; name {', '.join(sorted(known))} or model.params.x"
                )
        return self


class EvaluationSettings(Section):
    """How a trained model is judged and when it may be registered."""

    task: Name = Field("classification", description="classification, regression, text")
    metric: Name = Field("roc_auc", validate_default=True, description="the metric that the gate looks at")
    threshold: FiniteFloat = Field(description="score that the model must reach to be registered")
    min_coverage: Fraction = Field(1.0, description="share of rows that must have been scored")
    baselines: tuple[str, ...] = Field((), description="simple models shown beside it")
    metrics: tuple[str, ...] = Field((), description="text: metrics by name, or package.module:function")
    judge: str = Field("", description="text: LLM that ragas metrics ask, as provider:model")
    embeddings: str = Field(
        "fake:trigrams", description="text: embedding model of semantic_similarity, as provider:model"
    )
    concurrency: int = Field(8, ge=1, description="rows that an LLM answers at once")
    calls_per_minute: float = Field(0.0, ge=0, description="most LLM calls started in a minute; 0: no limit")
    max_calls: int = Field(0, ge=0, description="LLM calls after which an evaluation stops; 0: no limit")
    max_tokens: int = Field(0, ge=0, description="tokens after which an evaluation stops; 0: no limit")
    max_cost_usd: float = Field(0.0, ge=0, description="US dollars after which it stops; 0: no limit")
    reuse: bool = Field(True, description="answer LLM calls that an earlier evaluation recorded from there")
    replay: str = Field("", description="run whose recorded LLM calls are the only ones; nothing is logged")

    # Found here, and not by the gate after an hour of training.
    @field_validator("metric")
    @classmethod
    def _is_a_metric_of_the_task(cls, metric: str, info: ValidationInfo) -> str:
        task = info.data.get("task", "")
        if task in METRICS and metric not in METRICS[task]:
            raise ValueError(f"{task} has the metrics {', '.join(METRICS[task])}")
        return metric

    @field_validator("threshold")
    @classmethod
    def _can_be_reached(cls, threshold: float, info: ValidationInfo) -> float:
        metric = info.data.get("metric", "")
        higher_is_better = METRICS.get(info.data.get("task", ""), {}).get(metric)
        if higher_is_better and threshold > 1:
            raise ValueError(f"no model reaches it, since {metric} is 1 at most")
        if higher_is_better is False and threshold < 0:
            raise ValueError(f"no model reaches it, since {metric} is 0 at least, and lower is better")
        return threshold


class LlmSettings(Section):
    """How LLM providers are called."""

    timeout_s: float = Field(60.0, gt=0, description="seconds that one call may take")
    max_retries: int = Field(4, ge=0, description="tries after a 429, 5xx, time-out or lost connection")
    prices: dict[str, Annotated[list[float], Field(min_length=2, max_length=2)]] = Field(
        {}, description="provider:model -> US dollars for a million tokens in, and out"
    )
    tracing: bool = Field(True, description="keep a trace of each graph run in MLflow")


class PipelineSettings(Section):
    """How the four notebooks are run."""

    name: Name = Field("training", description="name of the Kubeflow pipeline")
    notebooks: Name = Field("notebooks", description="folder of the four notebooks")
    image: Name = Field("mlops-notebook-python:latest", description="container image of the steps")
    work_dir: Name = Field(".mlops", description="folder for run logs, pipeline files and the steps' memory")
    cell_timeout_s: int = Field(0, ge=0, description="longest that one cell may run; 0: as long as it takes")


class ClusterSettings(Section):
    """What a step gets when it is a container: on a Kubeflow cluster and, as far as it applies, in Docker."""

    cpu: float = Field(2.0, gt=0, description="processor cores of a step")
    memory: str = Field("4Gi", pattern=r"^[1-9]\d*[MG]i$", description="memory of a step, as 512Mi or 4Gi")
    gpus: int = Field(0, ge=0, description="GPUs of the training step")
    gpu_type: Name = Field("nvidia.com/gpu", description="resource name of those GPUs")
    training_runtime: Name = Field(
        "torch-distributed", description="ClusterTrainingRuntime of a TrainJob (train.nodes above 1)"
    )
    retries: int = Field(2, ge=0, description="how often a failed step is tried again")
    retry_wait_s: int = Field(
        30, ge=1, description="seconds before the first retry; each later one waits twice as long"
    )
    namespace: str = Field("", description="namespace to run in; empty: the server's default")
    service_account: str = Field("", description="service account of the steps; empty: the default one")
    secret: str = Field("", description="Secret whose keys become environment variables of the steps")
    secret_keys: tuple[str, ...] = Field(
        ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"), description="keys taken from it"
    )
    volume_claim: str = Field(
        "", description="PersistentVolumeClaim mounted at volume_path, for data and memory"
    )
    volume_path: Name = Field("/mnt/mlops", description="where it is mounted; point pipeline.work_dir there")
    node_selector: dict[str, str] = Field({}, description="labels that a node must have")
    pipeline_root: str = Field(
        "", description="where Kubeflow keeps what steps hand on: s3://bucket/folder; empty: its default"
    )


class EnrichmentSettings(Section):
    """Online features for rows that carry only their entity key, and what to do when there are none."""

    timeout_s: float = Field(0.25, gt=0, description="seconds that a request may wait for its features")
    on_trouble: Policy = Field("reject", description="time-out, store down, unknown entity, stale value")
    policies: dict[str, Policy] = Field({}, description="feature -> policy, where it differs")
    defaults: dict[str, float | int | str | bool | None] = Field(
        {}, description="feature -> value of policy default"
    )
    cache_ttl_s: float = Field(0.0, ge=0, description="seconds a looked-up value is reused; 0: no cache")
    cache_rows: int = Field(10_000, ge=1, description="entities remembered for the cache and for last_known")


class ServingSettings(Section):
    """Which version the service answers with, where it listens, and what it puts up with."""

    stage: Name = Field("Production", description="registry stage to serve")
    alias: str = Field("", description="registry alias to serve instead of a stage; empty: use the stage")
    version: int = Field(0, ge=0, strict=False, description="version to pin; 0 follows the stage or alias")
    host: Name = Field("127.0.0.1", description="address that `mlops serve` binds")
    port: int = Field(8080, ge=0, le=65535, description="port that `mlops serve` binds; 0 takes a free one")
    workers: int = Field(1, ge=1, description="processes that `mlops serve` starts")
    retry_s: float = Field(
        5.0, gt=0, description="seconds between tries while there is no model at the stage"
    )
    poll_s: float = Field(10.0, gt=0, description="seconds between looks at the registry")
    cache: Name = Field(".mlops/serving", description="folder of the versions known to have worked")

    batch_rows: int = Field(256, ge=1, description="most rows that one call of the model gets")
    queue_rows: int = Field(4096, ge=1, description="most rows that wait for the model; beyond: 503")
    body_bytes: int = Field(2**20 * 8, ge=1, description="largest request body; beyond: 413")
    predict_timeout_s: float = Field(10.0, gt=0, description="longest call of the model")
    request_timeout_s: float = Field(120.0, gt=0, description="longest request, waiting included")
    drain_s: float = Field(1.0, ge=0, description="seconds between unready and refusing, after SIGTERM")

    challenger: str = Field("challenger", description="alias of a version to mirror traffic to; empty: none")
    canary_share: Fraction = Field(0.0, description="share of entities that the challenger answers")
    prediction_log: str = Field("", description="folder to log predictions and feedback to; empty: none")
    api_keys: str = Field("", description="YAML file of hashed API keys; empty: inference is open")
    features: EnrichmentSettings = EnrichmentSettings()


class Secrets(Section):
    """Credentials. They come from the environment alone and are masked wherever settings are shown."""

    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    data_password: SecretStr | None = None
    tecton_api_key: SecretStr | None = None


class Settings(Section):
    """Everything the platform reads. `root` is the folder that relative paths start from."""

    root: Path
    mlflow: MlflowSettings = MlflowSettings()
    data: DataSettings
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    search: SearchSettings = SearchSettings()
    evaluation: EvaluationSettings
    llm: LlmSettings = LlmSettings()
    pipeline: PipelineSettings = PipelineSettings()
    cluster: ClusterSettings = ClusterSettings()
    serving: ServingSettings = ServingSettings()
    secrets: Secrets = Secrets()

    def path(self, value: str) -> Path:
        """`value` as an absolute path, taken from `root` when it is relative."""
        return (self.root / Path(value).expanduser()).resolve()

    def notebook(self, name: str) -> Path:
        """The file of one of the four notebooks.

        Raises:
            ConfigError: There is none.
        """
        file = self.path(self.pipeline.notebooks) / f"{name}.ipynb"
        if not file.is_file():
            raise ConfigError(
                f"There is no notebook {file}. `mlops init` puts the four into a folder, and pipeline.notebooks of "
                "config.yaml says where they are."
            )
        return file

    def digest(self) -> str:
        """Twelve hex digits that change with any setting except secrets, `root` and where MLflow is.

        MLflow writes the resolved tracking URI into the environment, so that a step would see another one.
        """
        text = self.model_dump_json(exclude={"secrets": True, "root": True, "mlflow": {"tracking_uri"}})
        return hashlib.sha256(text.encode()).hexdigest()[:12]
