"""Settings of section `serving`."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from mlops_lib.settings.names import Alias, Stage
from mlops_lib.settings.section import Fraction, Name, Section

Origin = Annotated[str, StringConstraints(pattern=r"^(\*|https?://[^/\s]+)$")]
Policy = Literal["reject", "default", "last_known"]
#: auto: a version whose files hold code is a process of its own, others run in the service's process.
Isolation = Literal["auto", "process", "inline"]


class EnrichmentSettings(Section):
    """Lookup of online features for rows that have only their entity key, and the policy when it fails."""

    timeout_s: float = Field(0.25, gt=0, description="seconds that a request may wait for its features")
    on_trouble: Policy = Field("reject", description="time-out, store down, unknown entity, stale value")
    policies: dict[str, Policy] = Field({}, description="feature -> policy, where it differs")
    defaults: dict[str, float | int | str | bool | None] = Field(
        {}, description="feature -> value of policy default"
    )
    cache_ttl_s: float = Field(0.0, ge=0, description="seconds a looked-up value is reused; 0: no cache")
    cache_rows: int = Field(10_000, ge=1, description="most entities in the cache, also for last_known")


class BudgetSettings(Section):
    """Limits of an LLM model's spending in a period, for the service and for each API key; 0: no limit."""

    period: Literal["hour", "day", "month"] = Field(
        "day", description="time after which spending counts anew, UTC"
    )
    calls: int = Field(0, ge=0, description="LLM calls of all callers; each row is one at least")
    tokens: int = Field(0, ge=0, description="tokens in and out of all callers")
    cost_usd: float = Field(0.0, ge=0, strict=False, description="money of all callers, by llm.prices")
    key_calls: int = Field(0, ge=0, description="LLM calls of each API key")
    key_tokens: int = Field(0, ge=0, description="tokens of each API key")
    key_cost_usd: float = Field(0.0, ge=0, strict=False, description="money of each API key")


class RetentionSettings(Section):
    """Days after which stored data is deleted; 0: never."""

    threads_days: float = Field(0.0, ge=0, strict=False, description="conversations without a new turn")
    traces_days: float = Field(
        0.0, ge=0, strict=False, description="all MLflow traces of the model's experiment"
    )
    predictions_days: float = Field(0.0, ge=0, strict=False, description="files of the prediction log")


class ServingSettings(Section):
    """The model version to serve, the address, and the limits of requests."""

    stage: Stage = Field("Production", description="registry stage to serve")
    alias: Alias = Field("", description="registry alias to serve instead of a stage; empty: use the stage")
    version: int = Field(0, ge=0, strict=False, description="version to pin; 0 follows the stage or alias")
    host: Name = Field("127.0.0.1", description="address that `mlops serve` binds")
    cors_origins: tuple[Origin, ...] = Field(
        (), description="origins whose pages may call the service from a browser; * is any; empty: none"
    )
    keep_alive_s: float = Field(
        5.0, gt=0, description="seconds that an idle connection stays open; longer than a load balancer's own"
    )
    port: int = Field(8080, ge=0, le=65535, description="port that `mlops serve` binds; 0 takes a free one")
    page: bool = Field(True, description="whether / is a page for people")
    workers: int = Field(1, ge=1, description="processes that `mlops serve` starts")
    retry_s: float = Field(5.0, gt=0, description="seconds between attempts while no model is at the stage")
    poll_s: float = Field(10.0, gt=0, description="seconds between polls of the registry")
    cache: Name = Field(".mlops/serving", description="folder with copies of versions that worked")
    isolation: Isolation = Field(
        "auto", description="models with code in a process of their own; or all, or none of them"
    )
    signed_by: str = Field(
        "",
        description="file of a public key; versions that its owner did not sign are refused; empty: no check",
    )
    load_timeout_s: float = Field(120.0, gt=0, description="longest load of a version; beyond: refused")

    batch_rows: int = Field(256, ge=1, description="most rows in one call of the model")
    queue_rows: int = Field(4096, ge=1, description="most rows that wait for the model; beyond: 503")
    body_bytes: int = Field(2**20 * 8, ge=1, description="largest request body; beyond: 413")
    head_bytes: int = Field(2**16, ge=1024, description="longest request line with headers; beyond: 431")
    head_timeout_s: float = Field(10.0, gt=0, description="longest wait for a request's head; beyond: 408")
    extra_columns: Literal["refuse", "ignore"] = Field(
        "refuse", description="columns in a row that the source does not have"
    )
    predict_timeout_s: float = Field(10.0, gt=0, description="longest time of a caller's rows in the model")
    request_timeout_s: float = Field(120.0, gt=0, description="longest request, waiting included")
    drain_s: float = Field(1.0, ge=0, description="seconds between unready and refusing, after SIGTERM")

    challenger: Alias = Field(
        "challenger", description="alias of a version to mirror traffic to; empty: none"
    )
    canary_share: Fraction = Field(0.0, description="share of entities that the challenger answers")
    prediction_log: str = Field("", description="folder to log predictions and feedback to; empty: none")
    api_keys: str = Field("", description="YAML file of hashed API keys; empty: inference is open")
    budget: BudgetSettings = BudgetSettings()
    retention: RetentionSettings = RetentionSettings()
    features: EnrichmentSettings = EnrichmentSettings()
