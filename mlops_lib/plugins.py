"""Implementations by name: a table of dotted paths, imported on first use.

A new loader, wrapper, network, task, metric or baseline is one file and one line here.
A class or function of the user's own needs no line: its name is its dotted path, ``package.module:Object``.
"""

import importlib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from mlops_lib.errors import PluginError


class Plugin(NamedTuple):
    """Where an implementation is.

    Attributes:
        path: ``package.module:Object``.
        extra: Extra of the distribution that installs what it imports.
        task: Metrics and baselines: the task that they belong to; of several, with blanks between them.
        imports: Slow packages that it imports on use; `mlops run` imports them once for all steps.
        files: ``package.module:function`` of a wrapper's files:
            settings -> the files that `model.implementation` names. Empty: those beside its module.
    """

    path: str
    extra: str = ""
    task: str = ""
    imports: tuple[str, ...] = ()
    files: str = ""


_METRICS = "mlops_lib.evaluation.metrics"
_BASELINES = "mlops_lib.evaluation.baselines"

TABLE: dict[str, dict[str, Plugin]] = {
    "loader": {
        "local": Plugin("mlops_lib.loaders.files:LocalDataLoader"),
        "feature_store": Plugin("mlops_lib.loaders.feature_store:FeatureStoreDataLoader", "feast"),
        "images": Plugin("mlops_lib.loaders.images:ImagesDataLoader", "images"),
        "sql": Plugin("mlops_lib.loaders.sql:SQLDataLoader", "sql"),
    },
    "features": {
        "feast": Plugin("mlops_lib.features.feast:FeastProvider", "feast"),
        "tecton": Plugin("mlops_lib.features.tecton:TectonProvider", "tecton"),
    },
    "wrapper": {
        "lightning": Plugin(
            "mlops_lib.wrappers.lightning:PytorchLightningWrapper",
            "torch",
            imports=("torch", "lightning.pytorch", "mlflow.pytorch", "torch.export._trace"),
        ),
        "sklearn": Plugin(
            "mlops_lib.wrappers.sklearn:SklearnWrapper",
            "sklearn",
            imports=("sklearn.ensemble", "mlflow.sklearn"),
        ),
        "pyfunc": Plugin("mlops_lib.wrappers.pyfunc:PyfuncWrapper"),
        "langgraph": Plugin(
            "mlops_lib.wrappers.langgraph:LangGraphWrapper",
            "llm",
            files="mlops_lib.wrappers.graph.package:files_of_graph",
        ),
        "llm": Plugin("mlops_lib.wrappers.llm:LLMClientWrapper", "llm"),
    },
    "prepare": {},
    "labels": {},
    "slice": {},
    "callback": {},
    "datamodule": {},
    "dataset": {},
    "estimator": {
        "auto": Plugin(
            "mlops_lib.estimators.auto:Auto", "sklearn", imports=("sklearn.linear_model", "scipy.optimize")
        ),
    },
    "network": {
        "tabular": Plugin("mlops_lib.networks.tabular:TabularNetwork", "lightning"),
        "image": Plugin("mlops_lib.networks.image:ImageNetwork", "lightning"),
    },
    "task": {
        "classification": Plugin(
            "mlops_lib.evaluation.tasks.classification:Classification",
            "sklearn",
            imports=("sklearn.linear_model",),
        ),
        "regression": Plugin("mlops_lib.evaluation.tasks.regression:Regression", "sklearn"),
        "multilabel": Plugin("mlops_lib.evaluation.tasks.multilabel:MultiLabel", "sklearn"),
        "multioutput": Plugin("mlops_lib.evaluation.tasks.multioutput:MultiOutput", "sklearn"),
        "ranking": Plugin("mlops_lib.evaluation.tasks.ranking:Ranking", "sklearn"),
        "forecast": Plugin("mlops_lib.evaluation.tasks.forecast:Forecast", "sklearn"),
        "loss": Plugin("mlops_lib.evaluation.tasks.loss:Loss", "sklearn"),
        "text": Plugin("mlops_lib.evaluation.tasks.text:Text", "llm"),
    },
    "metric": {  # in the order of reports
        "roc_auc": Plugin(f"{_METRICS}.classification:roc_auc", "sklearn", "classification"),
        "average_precision": Plugin(
            f"{_METRICS}.classification:average_precision", "sklearn", "classification"
        ),
        "accuracy": Plugin(f"{_METRICS}.classification:accuracy", "sklearn", "classification"),
        "balanced_accuracy": Plugin(
            f"{_METRICS}.classification:balanced_accuracy", "sklearn", "classification"
        ),
        "f1": Plugin(f"{_METRICS}.classification:f1", "sklearn", "classification"),
        "log_loss": Plugin(f"{_METRICS}.classification:log_loss", "sklearn", "classification"),
        "brier": Plugin(f"{_METRICS}.classification:brier", "sklearn", "classification"),
        "r2": Plugin(f"{_METRICS}.regression:r2", "sklearn", "regression"),
        "rmse": Plugin(f"{_METRICS}.regression:rmse", "sklearn", "regression forecast"),
        "mae": Plugin(f"{_METRICS}.regression:mae", "sklearn", "regression forecast"),
        "median_absolute_error": Plugin(
            f"{_METRICS}.regression:median_absolute_error", "sklearn", "regression"
        ),
        **{
            name: Plugin(f"{_METRICS}.multilabel:{name}", "sklearn", "multilabel")
            for name in (
                "mean_roc_auc",
                "mean_average_precision",
                "micro_f1",
                "macro_f1",
                "subset_accuracy",
                "hamming_loss",
                "mean_log_loss",
            )
        },
        "mean_r2": Plugin(f"{_METRICS}.multioutput:mean_r2", "sklearn", "multioutput"),
        "scaled_rmse": Plugin(f"{_METRICS}.multioutput:scaled_rmse", "sklearn", "multioutput"),
        **{
            name: Plugin(f"{_METRICS}.ranking:{name}", "sklearn", "ranking")
            for name in ("ndcg_at_k", "map_at_k", "mrr", "precision_at_k", "recall_at_k")
        },
        **{
            name: Plugin(f"{_METRICS}.forecast:{name}", "sklearn", "forecast")
            for name in ("mase", "wape", "smape", "pinball", "coverage_error")
        },
        "mean_loss": Plugin(f"{_METRICS}.loss:mean_loss", "sklearn", "loss"),
        "bleu": Plugin(f"{_METRICS}.text:Bleu", "llm", "text"),
        "chrf": Plugin(f"{_METRICS}.text:ChrF", "llm", "text"),
        "exact_match": Plugin(f"{_METRICS}.text:ExactMatch", "", "text"),
        "rouge_l": Plugin(f"{_METRICS}.text:RougeL", "llm", "text"),
        "json_fields": Plugin(f"{_METRICS}.structured:JsonFields", "", "text"),
        "json_schema": Plugin(f"{_METRICS}.structured:JsonSchema", "llm", "text"),
        "tool_calls_exact_order": Plugin(f"{_METRICS}.tool_calls:ExactOrder", "", "text"),
        "tool_calls_any_order": Plugin(f"{_METRICS}.tool_calls:AnyOrder", "", "text"),
        "tool_calls_subset": Plugin(f"{_METRICS}.tool_calls:Subset", "", "text"),
        "tool_calls_superset": Plugin(f"{_METRICS}.tool_calls:Superset", "", "text"),
        "tool_calls_f1": Plugin(f"{_METRICS}.tool_calls:F1", "", "text"),
        "goal_reached": Plugin(f"{_METRICS}.conversations:GoalReached", "", "text"),
        "turns": Plugin(f"{_METRICS}.conversations:Turns", "", "text"),
        "steps": Plugin(f"{_METRICS}.effort:Steps", "", "text"),
        "cost": Plugin(f"{_METRICS}.effort:Cost", "", "text"),
        "semantic_similarity": Plugin(f"{_METRICS}.text:SemanticSimilarity", "llm", "text"),
        "faithfulness": Plugin(f"{_METRICS}.ragas:Faithfulness", "ragas", "text"),
        "answer_relevancy": Plugin(f"{_METRICS}.ragas:AnswerRelevancy", "ragas", "text"),
        "context_precision": Plugin(f"{_METRICS}.ragas:ContextPrecision", "ragas", "text"),
        "context_recall": Plugin(f"{_METRICS}.ragas:ContextRecall", "ragas", "text"),
        "factual_correctness": Plugin(f"{_METRICS}.ragas:FactualCorrectness", "ragas", "text"),
        "answer_correctness": Plugin(f"{_METRICS}.ragas:AnswerCorrectness", "ragas", "text"),
        "tool_call_accuracy": Plugin(f"{_METRICS}.ragas:ToolCallAccuracy", "ragas", "text"),
        "topic_adherence": Plugin(f"{_METRICS}.ragas:TopicAdherence", "ragas", "text"),
        "agent_goal_accuracy": Plugin(f"{_METRICS}.ragas:AgentGoalAccuracy", "ragas", "text"),
    },
    "baseline": {
        "majority": Plugin(f"{_BASELINES}:majority", "sklearn", "classification"),
        "logistic": Plugin(f"{_BASELINES}:logistic", "sklearn", "classification"),
        "mean": Plugin(f"{_BASELINES}:mean", "sklearn", "regression"),
        "ridge": Plugin(f"{_BASELINES}:ridge", "sklearn", "regression ranking forecast"),
        "shares": Plugin(f"{_BASELINES}:shares", "sklearn", "multilabel"),
        "logistic_each": Plugin(f"{_BASELINES}:logistic_each", "sklearn", "multilabel"),
        "means": Plugin(f"{_BASELINES}:means", "sklearn", "multioutput"),
        "constant": Plugin(f"{_BASELINES}:constant", "sklearn", "ranking"),
        "last_value": Plugin(f"{_BASELINES}:last_value", "sklearn", "forecast"),
        "seasonal_naive": Plugin(f"{_BASELINES}:seasonal_naive", "sklearn", "forecast"),
        "ridge_each": Plugin(f"{_BASELINES}:ridge_each", "sklearn", "multioutput"),
    },
}


def names(kind: str, task: str = "") -> list[str]:
    """The names of one kind, in the table's order; with `task`, those of this task."""
    return [name for name, plugin in TABLE[kind].items() if not task or task in plugin.task.split()]


def is_path(name: str) -> bool:
    """Whether `name` has the form of a dotted path, ``package.module:Object``."""
    return re.fullmatch(r"[\w.]+:\w+", name) is not None


def check(kind: str, name: str, task: str = "") -> None:
    """Raise PluginError unless `name` is in the table (for `task`) or is a dotted path; imports nothing."""
    available = names(kind, task if task in TABLE["task"] else "")
    if name not in available and not is_path(name):
        of_task = f" of task {task!r}" if task else ""
        raise PluginError(
            f"Unknown {kind} {name!r}{of_task}. Available: {', '.join(sorted(available)) or 'none'}, "
            "or one of your own as 'package.module:Class'."
        )


def files_of_model(wrapper: str) -> Callable[[Any], Iterable[Path]] | None:
    """The function that gives the files of `model.implementation` from the settings; None:
    the wrapper has none."""
    path = TABLE["wrapper"].get(wrapper, Plugin("")).files
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name) if path else None


def load(kind: str, name: str) -> Any:
    """Import and return the object that `name` stands for.

    Args:
        kind: A table of this module.
        name: A name in that table, or a dotted path ``package.module:Object``.

    Raises:
        PluginError: The name is unknown, or its module cannot be imported; says which extra to install.
    """
    check(kind, name)
    plugin = TABLE[kind].get(name, Plugin(name))
    module_name, _, attribute = plugin.path.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        hint = f" Install it with: pip install 'mlops-lib[{plugin.extra}]'" if plugin.extra else ""
        raise PluginError(f"Cannot import {kind} {name!r} ({plugin.path}): {error}.{hint}") from error
    try:
        return getattr(module, attribute)
    except AttributeError as error:
        raise PluginError(f"{kind} {name!r}: module {module_name!r} has no {attribute!r}.") from error
