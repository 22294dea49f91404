"""Implementations by name: a table of dotted paths, imported on first use.

A new loader, wrapper, network or task is one file and one line here. A class of the user's own needs no
line: name it by its dotted path, ``package.module:Class``.
"""

import importlib
import re
from typing import Any, NamedTuple

from mlops_lib.errors import PluginError


class Plugin(NamedTuple):
    """Where an implementation lives, which extra of the distribution brings what it imports, and what of that is slow.

    The local runner imports the slow packages once for all steps.
    """

    path: str
    extra: str = ""
    imports: tuple[str, ...] = ()


TABLE: dict[str, dict[str, Plugin]] = {
    "loader": {
        "local": Plugin("mlops_lib.loaders.files:LocalDataLoader"),
        "feature_store": Plugin("mlops_lib.loaders.feature_store:FeatureStoreDataLoader", "feast"),
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
            ("torch", "lightning.pytorch", "mlflow.pytorch", "torch.export._trace"),
        ),
        "sklearn": Plugin(
            "mlops_lib.wrappers.sklearn:SklearnWrapper", "sklearn", ("sklearn.ensemble", "mlflow.sklearn")
        ),
        "pyfunc": Plugin("mlops_lib.wrappers.pyfunc:PyfuncWrapper"),
        "langgraph": Plugin("mlops_lib.wrappers.langgraph:LangGraphWrapper", "llm"),
        "llm": Plugin("mlops_lib.wrappers.llm:LLMClientWrapper", "llm"),
    },
    "prepare": {},
    "labels": {},
    "estimator": {},
    "network": {
        "tabular": Plugin("mlops_lib.networks.tabular:TabularNetwork", "lightning"),
    },
    "task": {
        "classification": Plugin("mlops_lib.evaluation.tasks.classification:Classification", "sklearn", ("sklearn.linear_model",)),
        "regression": Plugin("mlops_lib.evaluation.tasks.regression:Regression", "sklearn"),
        "text": Plugin("mlops_lib.evaluation.tasks.text:Text", "llm"),
    },
    "metric": {
        "bleu": Plugin("mlops_lib.evaluation.metrics.text:Bleu", "llm"),
        "chrf": Plugin("mlops_lib.evaluation.metrics.text:ChrF", "llm"),
        "exact_match": Plugin("mlops_lib.evaluation.metrics.text:ExactMatch"),
        "rouge_l": Plugin("mlops_lib.evaluation.metrics.text:RougeL", "llm"),
        "semantic_similarity": Plugin("mlops_lib.evaluation.metrics.text:SemanticSimilarity", "llm"),
        "faithfulness": Plugin("mlops_lib.evaluation.metrics.ragas:Faithfulness", "ragas"),
        "answer_relevancy": Plugin("mlops_lib.evaluation.metrics.ragas:AnswerRelevancy", "ragas"),
        "context_precision": Plugin("mlops_lib.evaluation.metrics.ragas:ContextPrecision", "ragas"),
        "context_recall": Plugin("mlops_lib.evaluation.metrics.ragas:ContextRecall", "ragas"),
        "factual_correctness": Plugin("mlops_lib.evaluation.metrics.ragas:FactualCorrectness", "ragas"),
    },
}


def names(kind: str) -> list[str]:
    """The names of one kind (``loader``, ``wrapper``, ``network``, ``task``), sorted."""
    return sorted(TABLE[kind])


def check(kind: str, name: str) -> None:
    """Raise PluginError unless `name` is in the table or has the form of a dotted path; imports nothing."""
    if name not in TABLE[kind] and not re.fullmatch(r"[\w.]+:\w+", name):
        raise PluginError(
            f"Unknown {kind} {name!r}. Available: {', '.join(names(kind))}, "
            "or a class of your own as 'package.module:Class'."
        )


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
