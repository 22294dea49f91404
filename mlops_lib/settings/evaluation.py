"""Settings of section `evaluation`."""

from pydantic import Field, FiniteFloat, ValidationInfo, field_validator

from mlops_lib.settings.readers import read_by
from mlops_lib.settings.section import Fraction, Name, Section

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


class EvaluationSettings(Section):
    """How a trained model is judged and when it may be registered."""

    task: Name = Field(
        "classification",
        description="classification, regression, text",
        json_schema_extra=read_by("train-model", "evaluate-model", code=("evaluate-model",)),
    )
    metric: Name = Field(
        "roc_auc",
        validate_default=True,
        description="the metric that the gate looks at",
        json_schema_extra=read_by("evaluate-model", "register-model"),
    )
    threshold: FiniteFloat = Field(
        description="score that the model must reach to be registered",
        json_schema_extra=read_by("evaluate-model", "register-model"),
    )
    min_coverage: Fraction = Field(1.0, description="share of rows that must have been scored")
    baselines: tuple[str, ...] = Field((), description="simple models shown beside it")
    metrics: tuple[str, ...] = Field(
        (),
        description="text: metrics by name, or package.module:function",
        json_schema_extra=read_by("evaluate-model", code=("evaluate-model",)),
    )
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
