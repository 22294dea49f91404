"""Settings of section `evaluation`."""

import re
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, FiniteFloat, ValidationInfo, field_validator

from mlops_lib import plugins
from mlops_lib.errors import PluginError
from mlops_lib.settings.gate import GateSettings
from mlops_lib.settings.readers import read_by
from mlops_lib.settings.rubric import RubricSettings
from mlops_lib.settings.section import Fraction, Name, Section
from mlops_lib.settings.simulated_user import SimulatedUserSettings

#: Metrics of forecasts with quantiles.
OF_QUANTILES = ("pinball", "coverage_error")


class EvaluationSettings(Section):
    """How a trained model is scored, and the gate that it must pass to be registered."""

    task: Name = Field(
        "classification",
        description="classification, regression, ranking, forecast, text, loss; several labels: multilabel, multioutput",
        json_schema_extra=read_by("get-data", "train-model", "evaluate-model", code=("evaluate-model",)),
    )
    output: str = Field(
        "",
        description="output to judge, of a model that gives several by name",
        json_schema_extra=read_by("evaluate-model"),
    )
    heads: dict[str, Literal["classification", "regression"]] = Field(
        {},
        description="further labels of data.label -> task: the output of this name is judged too, beside the gate",
        json_schema_extra=read_by("get-data", "train-model", "evaluate-model"),
    )
    # Before the metrics, some of which need them.
    quantiles: tuple[float, ...] = Field(
        (),
        description="forecast: quantile of each column of a prediction, such as [0.1, 0.5, 0.9]; empty: one number",
        json_schema_extra=read_by("evaluate-model", "register-model"),
    )
    # Before the metrics, whose names are checked with those of the rubrics.
    rubrics: dict[str, RubricSettings] = Field(
        {},
        description="text: name of a metric -> the rubric by which an LLM judges",
        json_schema_extra=read_by("evaluate-model", "register-model"),
    )
    metric: Name = Field(
        "roc_auc",
        validate_default=True,
        description="metric that the gate decides on, by name or package.module:function",
        json_schema_extra=read_by("evaluate-model", "register-model", code=("evaluate-model",)),
    )
    threshold: FiniteFloat = Field(
        description="score that the model must reach to be registered",
        json_schema_extra=read_by("evaluate-model", "register-model"),
    )
    unknown_class: Literal["error", "wrong"] = Field(
        "error",
        description="rows of a class that the train split lacks: an error, or counted as wrong",
        json_schema_extra=read_by("get-data", "evaluate-model"),
    )
    k: int = Field(
        10,
        ge=1,
        description="ranking: places of a group that ndcg_at_k and the like look at",
        json_schema_extra=read_by("evaluate-model"),
    )
    seasonality: int = Field(
        1,
        ge=1,
        description="forecast: time steps of a season, such as 7 for days with weeks; 1: none",
        json_schema_extra=read_by("evaluate-model"),
    )
    min_coverage: Fraction = Field(1.0, description="least share of rows that must be scored")
    gate: GateSettings = Field(
        GateSettings(), json_schema_extra=read_by("evaluate-model", code=("evaluate-model",))
    )
    baselines: tuple[str, ...] = Field(
        (),
        description="simple models to compare with",
        json_schema_extra=read_by("evaluate-model", code=("evaluate-model",)),
    )
    metrics: tuple[str, ...] = Field(
        (),
        description="metrics to report, by name or package.module:function; empty: the task's",
        json_schema_extra=read_by("evaluate-model", code=("evaluate-model",)),
    )
    language: str = Field(
        "auto",
        pattern="^(auto|[a-z]{2,3})$",
        description="text: language of references and answers as a code (en, ko, ja); auto: from each reference",
    )
    json_schema: str = Field("", description="text: file with the JSON schema of the metric json_schema")
    judge: str = Field(
        "", description="text: LLM that judges for ragas metrics and rubrics, as provider:model"
    )
    judge_max_tokens: int = Field(
        0, ge=0, description="text: most tokens of a reply of the judge; 0: 1024 for ragas, which sets it"
    )
    judge_temperature: float | None = Field(
        None,
        ge=0,
        le=2,
        description="text: temperature of the judge; null: the vendor's, and 0.01 for ragas, which sets it",
    )
    embeddings: str = Field(
        "fake:trigrams", description="text: embedding model of semantic_similarity, as provider:model"
    )
    simulated_user: SimulatedUserSettings = Field(
        SimulatedUserSettings(),  # type: ignore[call-arg]
        description="text: the LLM that plays the user for rows with a goal",
    )
    concurrency: int = Field(8, ge=1, description="text: rows answered at the same time")
    calls_per_minute: float = Field(0.0, ge=0, description="most LLM calls started in a minute; 0: no limit")
    max_calls: int = Field(0, ge=0, description="LLM calls after which an evaluation stops; 0: no limit")
    max_tokens: int = Field(0, ge=0, description="tokens after which an evaluation stops; 0: no limit")
    max_cost_usd: float = Field(0.0, ge=0, description="US dollars after which it stops; 0: no limit")
    reuse: bool = Field(True, description="reuse answers to LLM calls that an earlier evaluation recorded")
    replay: str = Field(
        "", description="run to replay: only its recorded LLM calls are used, and nothing is logged"
    )

    @property
    def margins(self) -> dict[str, float | None]:
        """Metric that is compared with the champion -> its margin; None: the usual one."""
        return {self.metric: None} | self.gate.margins

    @field_validator("heads")
    @classmethod
    def _have_different_scores(cls, heads: dict[str, str]) -> dict[str, str]:
        if len({score_prefix(label) for label in heads}) < len(heads):
            raise ValueError(
                f"two of the labels {', '.join(heads)} would have scores of one name, since MLflow takes only letters, digits, "
                "spaces and _ - . in it; rename one in data.prepare"
            )
        return heads

    @field_validator("quantiles")
    @classmethod
    def _are_levels_with_the_median(
        cls, quantiles: tuple[float, ...], info: ValidationInfo
    ) -> tuple[float, ...]:
        if quantiles and info.data.get("task", "forecast") != "forecast":
            raise ValueError("quantiles belong to the task forecast; evaluation.task is another")
        ascending = sorted(set(quantiles))
        if quantiles and (
            list(quantiles) != ascending or 0.5 not in quantiles or ascending[0] <= 0 or ascending[-1] >= 1
        ):
            raise ValueError("give ascending numbers between 0 and 1, with 0.5, the forecast itself")
        return quantiles

    @field_validator("rubrics")
    @classmethod
    def _have_names_of_their_own(
        cls, rubrics: dict[str, RubricSettings], info: ValidationInfo
    ) -> dict[str, RubricSettings]:
        if rubrics and info.data.get("task", "text") != "text":
            raise ValueError("rubrics judge text; evaluation.task is another")
        for name in rubrics:
            if name in plugins.TABLE["metric"] or not re.fullmatch(r"[A-Za-z]\w*", name):
                raise ValueError(
                    f"{name}: give the rubric a name of letters, digits and _ that no metric of the platform has"
                )
        return rubrics

    @field_validator("simulated_user")
    @classmethod
    def _talks_about_text(cls, user: SimulatedUserSettings, info: ValidationInfo) -> SimulatedUserSettings:
        if user.model and info.data.get("task", "text") != "text":
            raise ValueError("a simulated user talks with models of text; evaluation.task is another")
        return user

    # Checked here, so that a slip is found before an hour of training and not by the gate after it.
    @field_validator("metric")
    @classmethod
    def _is_a_metric_of_the_task(cls, metric: str, info: ValidationInfo) -> str:
        _check_metric(metric, info)
        return metric

    @field_validator("threshold")
    @classmethod
    def _can_be_reached(cls, threshold: float, info: ValidationInfo) -> float:
        _check_reachable(info.data.get("metric", ""), threshold, info.data.get("rubrics", {}))
        return threshold

    @field_validator("gate")
    @classmethod
    def _names_metrics_of_the_task(cls, gate: GateSettings, info: ValidationInfo) -> GateSettings:
        task, metric = info.data.get("task", ""), info.data.get("metric", "")
        rubrics = info.data.get("rubrics", {})
        for key in ("thresholds", "slice_thresholds", "margins"):
            for name, limit in getattr(gate, key).items():
                try:
                    _check_metric(name, info)
                    if key != "margins":
                        _check_reachable(name, limit, rubrics)
                except ValueError as error:
                    raise ValueError(f"{key}.{name}: {error}") from None
        if metric in gate.thresholds:
            raise ValueError(
                f"thresholds.{metric}: evaluation.threshold is the threshold of evaluation.metric"
            )
        if gate.max_cost_usd and task in plugins.TABLE["task"] and task != "text":
            raise ValueError(f"max_cost_usd: rows of task {task} make no LLM calls, so they have no cost")
        return gate


def score_prefix(label: str) -> str:
    """A label in the names of its scores; MLflow takes no other characters."""
    return re.sub(r"[^\w.\- ]", "_", label)


def _check_metric(name: str, info: ValidationInfo) -> None:
    """Raise ValueError if a task of the platform has no such metric and it is no path and no rubric,
    or needs quantiles."""
    task, rubrics = info.data.get("task", ""), info.data.get("rubrics", {})
    known = [*plugins.names("metric", task), *rubrics] if task in plugins.TABLE["task"] else []
    if known and name not in known and not plugins.is_path(name):
        raise ValueError(f"{task} has the metrics {', '.join(known)}, or your own as package.module:function")
    if name in OF_QUANTILES and not info.data.get("quantiles"):
        raise ValueError(f"{name} needs evaluation.quantiles, such as [0.1, 0.5, 0.9]")


def _check_reachable(name: str, threshold: float, rubrics: Mapping[str, RubricSettings]) -> None:
    """Raise ValueError if no model can reach the threshold of a metric of the platform, or of a rubric."""
    if rubric := rubrics.get(name):
        least, most = min(rubric.scale), max(rubric.scale)
        if (rubric.higher_is_better and threshold > most) or (
            not rubric.higher_is_better and threshold < least
        ):
            raise ValueError(f"no model reaches it, since the scale of {name} is {least} to {most}")
        return
    if name not in plugins.TABLE["metric"]:  # a metric of the user's own is imported when it is used
        return
    try:
        metric = plugins.load("metric", name)
    except PluginError:  # not installed here, for example in a service, which evaluates nothing
        return
    if metric.higher_is_better and threshold > metric.highest:
        raise ValueError(f"no model reaches it, since {name} is {metric.highest:g} at most")
    if not metric.higher_is_better and threshold < metric.lowest:
        raise ValueError(
            f"no model reaches it, since {name} is {metric.lowest:g} at least, and lower is better"
        )
