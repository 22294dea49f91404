"""The interface of every model, and what all of them do alike: runs, tags, scores and the gate."""

import asyncio
import json
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from mlops_lib import evaluation, loaders, tracking
from mlops_lib.errors import InputError, ModelError, TrainingError
from mlops_lib.evaluation import gate
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.registry import GATE_TAG
from mlops_lib.settings import Settings
from mlops_lib.wrappers import WRAPPER_KEY, download

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model, ModelSignature

#: Values (rows times features) that baselines learn from at most: they take them all at once.
BASELINE_VALUES = 2_000_000
FINGERPRINT_TAG = "mlops.data_fingerprint"
#: In a classifier's metadata: its classes, in the order of the probabilities.
CLASSES_KEY = "mlops_classes"


@dataclass(frozen=True)
class TrainResult:
    """Where a trained model is: its MLflow run and its address."""

    run_id: str
    model_uri: str


class StreamEvent(NamedTuple):
    """What a model says while it works on a row.

    ``token`` is a piece of the answer's text; ``update`` is what a step changed, by step; ``interrupt`` is what
    a model asks before it goes on; ``prediction`` is the answer.
    """

    kind: Literal["token", "update", "interrupt", "prediction"]
    data: Any


class ModelWrapper(ABC):
    """A model of one kind, from training to prediction.

    A wrapper is either new (train it) or loaded (evaluate it, predict with it).
    """

    #: Name in the plugin table; written into the model's metadata, so that loading needs no hint.
    name: str = ""
    #: Whether `predict` also takes a float32 matrix [rows, features], columns in the signature's order, NaN
    #: for missing: a server builds one for a whole batch in a single step.
    takes_matrix: bool = False
    #: Whether a loaded model's `predict` is a fixed sequence of native operators: it cannot block or loop.
    straight_line: bool = False
    #: Whether a loaded model answers by waiting on others: a server then calls `apredict` for each request,
    #: many at once, instead of `predict` for a batch of requests.
    waits: bool = False
    #: MLflow's description of the loaded model; None before `load`.
    info: "Model | None" = None
    #: Where its files lie on this machine.
    folder: Path

    def train(self, data_loader: BaseDataLoader, config: Settings, parent_run_id: str = "") -> TrainResult:
        """Fit on the train split, log the model to a new MLflow run, and load it.

        Args:
            data_loader: Rows with a label.
            config: The `model` and `train` sections are read.
            parent_run_id: Run of the pipeline that this run is nested under.

        Raises:
            TrainingError: The model cannot be fitted or logged.
        """
        import mlflow

        tags = {FINGERPRINT_TAG: data_loader.fingerprint(), WRAPPER_KEY: config.model.wrapper}
        tags |= data_loader.tags
        with tracking.child_run(config, "train-model", parent_run_id, tags) as run:
            tracking.check_artifacts(run)
            tracking.log_params(run.info.run_id, {"model": config.model, "train": config.train})
            loaders.log_inputs(config, data_loader, run.info.run_id, "train", "validation")
            # MLflow resumes a run only in its own experiment, which an injected parent decides.
            mlflow.set_experiment(experiment_id=run.info.experiment_id)
            model_uri = self.fit(data_loader, config, run.info.run_id)
        self.load(model_uri)
        return TrainResult(run.info.run_id, model_uri)

    def evaluate(
        self, data_loader: BaseDataLoader, config: Settings, split: Split = "test"
    ) -> EvaluationReport:
        """Score the loaded model on a split, hold it against the gate, and log both to the model's run.

        A replay (``evaluation.replay``) shows what was found before, and logs nothing.
        """
        chosen = config.evaluation
        if not chosen.replay:
            _withdraw_verdict(self.run_id)
        report = self.judge(data_loader, config, split)
        verdict = gate.decide(report, chosen.metric, chosen.threshold, chosen.min_coverage)
        report = report.model_copy(update={"verdict": verdict})
        if not chosen.replay:
            _log_evaluation(self.run_id, report)
            loaders.log_inputs(config, data_loader, self.run_id, split)
        return report

    def judge(self, data_loader: BaseDataLoader, config: Settings, split: Split) -> EvaluationReport:
        """Score the loaded model on a split; the gate is not asked and nothing is logged."""
        chosen = config.evaluation
        label, features = data_loader.schema.label, list(data_loader.schema.features)
        truth, made = [], []
        for rows in data_loader.parts(split):
            truth.append(rows[label].to_numpy())
            made.append(self.answers(rows[features], config))
        train, note = None, {}
        if chosen.baselines:
            known = data_loader.sample("train", max(BASELINE_VALUES // len(features), 1))
            train = known[features], known[label].to_numpy()
            if (count := data_loader.count("train")) > len(known):
                note = {"baselines": f"learned from {len(known)} of {count} training rows, evenly spaced"}
        report = evaluation.evaluate(
            chosen.task,
            _joined(truth),
            _joined(made),
            split=split,
            train=train,
            test_x=(rows[features] for rows in data_loader.parts(split)),
            baseline_names=chosen.baselines,
            settings=config,
        )
        return report.model_copy(update={"notes": report.notes | note})

    def answers(self, rows: "pd.DataFrame", config: Settings) -> Any:
        """Predictions [rows] in the form that the task scores; for most kinds that is `predict`."""
        return self.predict(rows)

    @property
    def run_id(self) -> str:
        """The MLflow run that holds the loaded model; "" for a model that was saved outside a run."""
        return (self.info.run_id if self.info else "") or ""

    @property
    def signature(self) -> "ModelSignature | None":
        """What the loaded model takes and gives."""
        return self.info.signature if self.info else None

    @property
    def classes(self) -> list[Any]:
        """Classes of the label, in the order of the probabilities; empty where the model does not name them."""
        return list((self.info.metadata or {}).get(CLASSES_KEY, [])) if self.info else []

    @property
    def feature_names(self) -> list[str]:
        """Columns that the loaded model takes, in order.

        Raises:
            ModelError: The model was logged without a signature of named columns.
        """
        inputs = self.signature.inputs if self.signature else None
        if inputs is None or not inputs.has_input_names():
            raise ModelError(
                f"The model at {self.folder} has no signature of named columns. Log it with one."
            )
        return inputs.input_names()

    def metadata(self, config: Settings) -> dict[str, Any]:
        """Metadata to log with a model, so that `mlops_lib.wrappers.load` needs no hint."""
        return {WRAPPER_KEY: config.model.wrapper}

    @abstractmethod
    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        """Fit, log the model to `run_id` under the name ``model``, and return its URI."""

    def load(self, model_uri: str) -> Self:
        """Load a logged model into this wrapper and return it.

        Args:
            model_uri: ``models:/name/3``, ``runs:/<id>/model`` or a folder.

        Raises:
            ModelError: There is no such model, or it is not of this wrapper's kind.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model

        self.folder = download(model_uri)
        try:
            self.info = Model.load(str(self.folder))
            self.open(self.folder)
        except (MlflowException, ImportError, OSError, RuntimeError, ValueError) as error:
            raise ModelError(f"Cannot load {model_uri} with {type(self).__name__}: {error}") from error
        return self

    def example(self) -> Any:
        """The input example that was logged with the model, as `predict` takes it; None where none was."""
        saved = (self.info.saved_input_example_info if self.info else None) or {}
        inputs = self.signature.inputs if self.signature else None
        named = inputs and not inputs.is_tensor_spec() and inputs.has_input_names()
        if saved.get("type") == "ndarray" and named:
            # MLflow would cast the whole array to the first column's type, and cut off what is behind the point.
            matrix = json.loads((self.folder / saved["artifact_path"]).read_text(encoding="utf-8"))
            return [_as_row(row, inputs) for row in matrix]
        example: Any = self.info.load_input_example(str(self.folder)) if self.info else None
        return example.to_dict("records") if hasattr(example, "to_dict") else example

    def warm(self) -> None:
        """Predict the example, so that the first caller waits no longer than the others."""
        if (example := self.example()) is not None:
            self.predict(example)

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Make the wrapper ready to predict from the files of a downloaded model; `info` is set already."""

    @abstractmethod
    def predict(self, input_data: Any) -> Any:
        """Predictions [rows], in order, for a DataFrame or a list of rows ``{feature: value}``.

        Raises:
            InputError: A row lacks a feature or has a value that is no number.
        """

    async def apredict(self, input_data: Any) -> Any:
        """`predict` for callers in an event loop; a model that waits on others does not block a thread here."""
        return await asyncio.to_thread(self.predict, input_data)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        """What a model says about one row while it works; ends with a ``prediction`` or an ``interrupt``."""
        yield StreamEvent("prediction", (await self.apredict([row]))[0])

    def chat_row(self, messages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The row that a chat's messages (``role``, ``content``) stand for.

        Raises:
            InputError: The model does not take text.
        """
        raise InputError("This model predicts from rows, not from messages. Send rows to /predict.")

    def keeps_state(self, row: Any) -> bool:
        """Whether answering this row changes what later ones are answered: a turn of a conversation, say."""
        return False

    def attach(self, settings: Settings) -> None:  # noqa: B027 - most kinds keep nothing
        """Tell a loaded model of the process it works in: where a conversation's state is kept, say."""


def _joined(parts: list[Any]) -> Any:
    """Answers to several parts of the rows as those to all of them: arrays, or lists."""
    import numpy as np

    if len(parts) == 1:
        return parts[0]
    if all(isinstance(part, np.ndarray) for part in parts):
        return np.concatenate(parts)
    return [answer for part in parts for answer in part]


def build(config: Settings, kind: str, **known: Any) -> Any:
    """Make the implementation that config.yaml names with ``model.params``.

    Args:
        config: The `model` section is read.
        kind: Plugin table to look the name up in.
        known: Facts about the data; handed over where the implementation has a parameter of that name.

    Raises:
        TrainingError: The parameters do not fit; says which it takes.
    """
    import inspect

    from mlops_lib import plugins

    implementation = plugins.load(kind, config.model.implementation)
    accepted = inspect.signature(implementation).parameters
    arguments = {name: value for name, value in known.items() if name in accepted} | config.model.params
    try:
        return implementation(**arguments)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"Cannot make {config.model.implementation!r} with model.params {config.model.params}: {error}. "
            f"It takes: {', '.join(accepted)}."
        ) from error


def _as_row(values: Sequence[float], inputs: Any) -> dict[str, Any]:
    """A row of an array of floats as the columns that it was made from."""
    whole = {column.name for column in inputs if column.type.name in ("integer", "long")}
    named = zip(inputs.input_names(), values, strict=True)
    return {name: int(value) if name in whole and math.isfinite(value) else value for name, value in named}


def _withdraw_verdict(run_id: str) -> None:
    """An evaluation that breaks off must not leave an earlier one's "passed" standing."""
    import mlflow

    if run_id:
        mlflow.MlflowClient().set_tag(run_id, GATE_TAG, "none, the evaluation did not finish")


def _log_evaluation(run_id: str, report: EvaluationReport) -> None:
    """Metrics, report, figures and the gate's verdict, on the run that holds the model."""
    import mlflow

    client = mlflow.MlflowClient()
    for name, value in report.flat().items():
        client.log_metric(run_id, f"{report.split}.{name}", value)
    client.log_text(run_id, report.model_dump_json(indent=2), f"evaluation/{report.split}/report.json")
    for name, figure in report.figures.items():
        client.log_figure(run_id, figure, f"evaluation/{report.split}/{name}.png")
    if report.per_row is not None:
        # The form that MLflow's UI shows as a table.
        rows = report.per_row.to_json(orient="split", index=False, force_ascii=False)
        client.log_text(run_id, rows, f"evaluation/{report.split}/rows.json")
    if report.verdict:
        client.set_tag(run_id, GATE_TAG, "passed" if report.verdict.passed else "refused")
