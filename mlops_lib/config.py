"""Settings: frozen and typed, from arguments, environment variables, config.yaml and defaults, in that order.

Relative paths are taken from the folder of the config file, whatever the current directory is, so that a
notebook in ``notebooks/``, a pipeline step and the service all mean the same file.
"""

import hashlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, SecretStr, ValidationError, model_validator

from mlops_lib import plugins
from mlops_lib.errors import ConfigError
from mlops_lib.uris import masked, password_in, without_password

CONFIG_ENV = "MLOPS_CONFIG"

#: Environment variable -> the setting it overrides.
ENVIRONMENT: dict[str, str] = {
    "MLFLOW_TRACKING_URI": "mlflow.tracking_uri",
    "MLFLOW_EXPERIMENT_NAME": "mlflow.experiment",
    "MLFLOW_MODEL_NAME": "model.name",
    "MLFLOW_MODEL_STAGE": "serving.stage",
    "MLFLOW_MODEL_ALIAS": "serving.alias",
    "MLFLOW_MODEL_VERSION": "serving.version",
    "DATA_LOADER_TYPE": "data.loader",
    "DATA_SOURCE_PATH": "data.source",
    "OPENAI_API_KEY": "secrets.openai_api_key",
    "OPENAI_BASE_URL": "secrets.openai_base_url",
    "ANTHROPIC_API_KEY": "secrets.anthropic_api_key",
    "DATA_SOURCE_PASSWORD": "secrets.data_password",
    "TECTON_API_KEY": "secrets.tecton_api_key",
    "MLOPS_IMAGE": "pipeline.image",
    "MLOPS_WORK_DIR": "pipeline.work_dir",
}

Name = Annotated[str, Field(min_length=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Policy = Literal["reject", "default", "last_known"]


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
    batch_size: int = Field(256, ge=1, description="rows in one batch")
    seed: int = Field(0, ge=0, description="seed of weights and shuffling")
    accelerator: Name = Field("auto", description="Lightning's accelerator: auto, cpu, gpu")


class EvaluationSettings(Section):
    """How a trained model is judged and when it may be registered."""

    task: Name = Field("classification", description="classification, regression, text")
    metric: Name = Field("roc_auc", description="the metric that the gate looks at")
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
    evaluation: EvaluationSettings
    llm: LlmSettings = LlmSettings()
    pipeline: PipelineSettings = PipelineSettings()
    cluster: ClusterSettings = ClusterSettings()
    serving: ServingSettings = ServingSettings()
    secrets: Secrets = Secrets()

    def path(self, value: str) -> Path:
        """`value` as an absolute path, taken from `root` when it is relative."""
        return (self.root / Path(value).expanduser()).resolve()

    def digest(self) -> str:
        """Twelve hex digits that change with any setting except secrets, `root` and where MLflow is.

        MLflow writes the resolved tracking URI into the environment, so that a step would see another one.
        """
        text = self.model_dump_json(exclude={"secrets": True, "root": True, "mlflow": {"tracking_uri"}})
        return hashlib.sha256(text.encode()).hexdigest()[:12]


class Loaded(NamedTuple):
    """Settings, the file they came from, and for each dotted key where its value came from."""

    settings: Settings
    file: Path
    origins: dict[str, str]


def find_config() -> Path | None:
    """The file named by MLOPS_CONFIG, else the nearest ``config.yaml`` from here upwards, else None."""
    if named := os.environ.get(CONFIG_ENV):
        return Path(named).expanduser().resolve()
    folders = [Path.cwd(), *Path.cwd().parents]
    return next((folder / "config.yaml" for folder in folders if (folder / "config.yaml").is_file()), None)


def load(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The resolved settings. See `load_with_origins` for the arguments and errors."""
    return load_with_origins(file, overrides).settings


def load_with_origins(file: str | Path | None = None, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """Resolve settings and remember where each value came from.

    Args:
        file: Config file; None looks for one (see `find_config`).
        overrides: Dotted key -> value, the strongest layer; None, "" and 0-length values are left out.

    Raises:
        ConfigError: No config file, one that is no YAML mapping, an unknown key or a bad value. The
            message names key, value, what was wanted, and the file or variable it came from.
    """
    path = Path(file).resolve() if file else find_config()
    if path is None:
        raise ConfigError(f"No config.yaml in {Path.cwd()} or above. Name one with {CONFIG_ENV}=path.")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for key, value in _flatten(_read(path), Settings).items():
        _put(values, origins, key, value, str(path))
    for variable, key in ENVIRONMENT.items():
        if value := os.environ.get(variable):
            _put(values, origins, key, value, f"environment {variable}")
    for key, value in (overrides or {}).items():
        if value not in (None, "", (), {}):
            _put(values, origins, key, value, "argument")
    _part_with_password(values, origins)
    try:
        settings = Settings.model_validate({**values, "root": path.parent})
    except ValidationError as error:
        raise ConfigError(_explain(error, origins, path)) from None
    named = flat(settings)
    plugin_names = [
        ("loader", "data.loader", named["data.loader"]),
        ("wrapper", "model.wrapper", named["model.wrapper"]),
        ("task", "evaluation.task", named["evaluation.task"]),
        ("features", "data.feature_store.provider", named["data.feature_store.provider"]),
        *(("metric", "evaluation.metrics", name) for name in settings.evaluation.metrics),
    ]
    for kind, key, name in plugin_names:
        try:
            plugins.check(kind, name)
        except plugins.PluginError as error:
            raise ConfigError(f"'{key}' in {origins.get(key, path)}: {error}") from None
    # Classes of the user's own live beside the config file; kernels and steps start in other folders.
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    return Loaded(settings, path, origins)


def flat(settings: Settings) -> dict[str, Any]:
    """Every setting under its dotted key, secrets masked."""
    return {key: value for key, value in _walk(settings) if key != "root"}


def _walk(section: Section, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in section:
        if isinstance(value, Section):
            yield from _walk(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _part_with_password(values: dict[str, Any], origins: dict[str, str]) -> None:
    """A password in data.source goes to secrets, where nothing prints it; a file or an argument may have none.

    Raises:
        ConfigError: The password is in a file or an argument, both of which are kept and shown.
    """
    source = values.get("data", {}).get("source") if isinstance(values.get("data"), dict) else None
    if not isinstance(source, str) or not (password := password_in(source)):
        return
    origin = origins["data.source"]
    if not origin.startswith("environment"):
        raise ConfigError(
            f"'data.source' in {origin} has a password in it: {masked(source)}. Files and arguments are kept and "
            "shown. Leave it out, and set the environment variable DATA_SOURCE_PASSWORD."
        )
    values["data"]["source"] = without_password(source)
    values.setdefault("secrets", {}).setdefault("data_password", password)
    origins.setdefault("secrets.data_password", origin)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"Config file {path} does not exist. Name another with {CONFIG_ENV}=path."
        ) from None
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ConfigError(f"Config file {path} is not readable YAML: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"Config file {path} must be a mapping of sections, not {type(content).__name__}.")
    for forbidden in ("secrets", "root"):
        if forbidden in content:
            raise ConfigError(
                f"{path} has a section {forbidden!r}. Secrets come from environment variables alone "
                "(OPENAI_API_KEY, ANTHROPIC_API_KEY), and the root is the file's own folder: remove it."
            )
    return content


def _flatten(values: Mapping[str, Any], model: type[Section] | None, prefix: str = "") -> dict[str, Any]:
    """Sections to dotted keys; a dictionary that is itself a value (model.params) stays one."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if value is None and not prefix and name in Settings.model_fields:  # its lines are all commented out
            continue
        inner = _section_at(model, str(name))
        if isinstance(value, dict) and (inner or not prefix):
            flat.update(_flatten(value, inner, f"{prefix}{name}."))
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def _section_at(model: type[Section] | None, name: str) -> type[Section] | None:
    """The class of a field that is a section, else None."""
    field = model.model_fields.get(name) if model else None
    kind = field.annotation if field else None
    return kind if isinstance(kind, type) and issubclass(kind, Section) else None


def _put(values: dict[str, Any], origins: dict[str, str], key: str, value: Any, origin: str) -> None:
    *sections, name = key.split(".")
    group: Any = values
    for section in sections:
        group = group.setdefault(section, {})
        if not isinstance(group, dict):
            return
    group[name] = tuple(value) if isinstance(value, list) else value
    origins[key] = origin


def _explain(error: ValidationError, origins: dict[str, str], path: Path) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        location = [str(part) for part in problem["loc"]]
        key = ".".join(location)
        prefixes = (".".join(location[:length]) for length in range(len(location), 0, -1))
        origin = next((origins[prefix] for prefix in prefixes if prefix in origins), str(path))
        if problem["type"] == "extra_forbidden":
            known = _known_keys(location[:-1])
            lines.append(f"Unknown key '{key}' in {origin}. Known here: {', '.join(known)}.")
        elif problem["type"] == "missing":
            lines.append(f"Key '{key}' is missing in {path}.")
        elif problem["type"] == "model_type":
            wanted = f"a mapping of {', '.join(_known_keys(location))}"
            lines.append(f"'{key}' has value {problem['input']!r} in {origin}. It should be {wanted}.")
        else:
            lines.append(f"'{key}' has value {masked(repr(problem['input']))} in {origin}. {problem['msg']}.")
    return "\n".join(lines)


def _known_keys(location: list[str]) -> list[str]:
    model: type[Section] | None = Settings
    for name in location:
        field = model.model_fields.get(name) if model else None
        # A dictionary of sections, data.checks.columns say: any name, then the section's keys.
        inner = [kind for kind in get_args(field.annotation) if isinstance(kind, type)] if field else []
        model = _section_at(model, name) or next((k for k in inner if issubclass(k, Section)), model)
    names = list(model.model_fields) if model else []
    return [name for name in names if name not in ("root", "secrets")]
