"""The interface of every model: train, evaluate, load and predict."""

import asyncio
import json
import math
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

import numpy as np

from mlops_lib.columns.encode import BadValue, Encoder
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import ConversationError, EvaluationError, InputError, ModelError, TrainingError
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.evaluation.simulation.script import Script
from mlops_lib.llm.accounting.ledger import Ledger
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.redact.traces import mask_traces
from mlops_lib.registry.model_files import note_digest
from mlops_lib.settings import Settings
from mlops_lib.training import judging, lifecycle
from mlops_lib.training.judged_rows import output_of
from mlops_lib.wrappers import champion, network_settings
from mlops_lib.wrappers.inputs import encoded, to_matrix
from mlops_lib.wrappers.load import WRAPPER_KEY, download

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model, ModelSignature

#: In a classifier's metadata: its classes, in the order of the probabilities.
CLASSES_KEY = "mlops_classes"
#: In a model's metadata: the columns of its training data, as of `Schema.to_dict`.
COLUMNS_KEY = "mlops_columns"
#: In the metadata of a model that carries ``data.prepare``: the columns of the source, in the same form.
SOURCE_KEY = "mlops_source_columns"
#: In the metadata of a network with inputs by name: these, as of `dataclasses.asdict`.
INPUTS_KEY = "mlops_inputs"
#: In the metadata of a network with several outputs: these, as of `dataclasses.asdict`.
OUTPUTS_KEY = "mlops_outputs"


@dataclass(frozen=True)
class TrainResult:
    """A trained model: its MLflow run and its address."""

    run_id: str
    model_uri: str


class StreamEvent(NamedTuple):
    """One event of a model that works on a row.

    ``token``: a piece of the answer's text; ``update``: the changes that a node made; ``custom``: what a node wrote to
    LangGraph's stream writer; ``contexts``: the passages of the answer; ``interrupt``: questions that the caller must answer
    first; ``tool_calls``: parts of tool calls in OpenAI's form, in answer to a chat; ``prediction``: the answer.

    Attributes:
        path: Names of a graph's nodes, from the outer graph to the node that the event is from; for ``custom``, to the
            graph that it is from.
    """

    kind: Literal["token", "update", "custom", "contexts", "interrupt", "tool_calls", "prediction"]
    data: Any
    path: tuple[str, ...] = ()


class ModelWrapper(ABC):
    """A model of one kind. A new wrapper can be trained; a loaded one can be evaluated and can predict.

    A subclass defines `fit`, `open` and `predict`.
    """

    #: Name in the plugin table. The model's metadata holds it, so that `wrappers.load` finds the wrapper.
    name: str = ""
    #: `predict` also takes a matrix of `matrix_dtype`: the encoder's outputs, or without an encoder the features, in
    #: the signature's order and with NaN for missing values. A server makes one for a whole batch in one step.
    takes_matrix: bool = False
    matrix_dtype: Any = np.float32
    #: Turns raw rows into the matrix; None: the features are numbers as they are.
    encoder: Encoder | None = None
    #: `predict` is a fixed sequence of native operators, which cannot block or loop.
    straight_line: bool = False
    #: The model answers by waiting for other services. A server then calls `apredict` for each request, many
    #: at once, instead of `predict` for a batch of requests.
    waits: bool = False
    #: `predict` also takes a `wrappers.pyfunc.requests.WholeRequest` as a row, and answers it with any number
    #: of predictions. A server sends one where it must ("on demand"), or for every request of a protocol that allows it.
    whole_requests: Literal["never", "on demand", "always"] = "never"
    #: `fit` makes passes over the data, and reads `train.max_epochs` and the like. Otherwise `train.seed` alone counts.
    has_epochs: bool = True
    #: `fit` logs ``data.prepare`` with the model where ``data.served_rows`` asks for it.
    carries_prepare: bool = False
    #: LLM calls of the last evaluation; None for a model that makes none.
    ledger: Ledger | None = None
    #: MLflow's description of the loaded model; None before `load`.
    info: "Model | None" = None
    #: Folder of the loaded model's files.
    folder: Path

    @classmethod
    def holds_code(cls, folder: Path, info: "Model") -> bool:
        """Whether the files of a logged model hold code that runs when the model is opened or called.

        A service runs such a model in a process of its own. Nothing of the model is imported to find out.
        """
        return True

    def train(self, data_loader: BaseDataLoader, config: Settings, parent_run_id: str = "") -> TrainResult:
        """Fit on the train split, log the model to a new MLflow run, and load it.

        Args:
            data_loader: Rows with a label.
            config: The `model` and `train` sections are read.
            parent_run_id: Parent of the new run.

        Raises:
            ConfigError: A setting of networks is set beside a wrapper that fits none.
            TrainingError: The model cannot be fitted or logged.
        """
        if not self.has_epochs:
            network_settings.refuse(config)
        tags = {WRAPPER_KEY: config.model.wrapper}
        if config.data.served_rows == "raw" and not self.carries_prepare:
            raise TrainingError(
                f"The wrapper {config.model.wrapper} logs models without data.prepare. Set data.served_rows: prepared, or "
                "take the wrapper sklearn or lightning."
            )
        with lifecycle.training_run(data_loader, config, parent_run_id, tags) as run_id:
            model_uri = self.fit(data_loader, config, run_id)
            folder = download(model_uri)
            note_digest(run_id, folder)
        self.load(str(folder))
        return TrainResult(run_id, model_uri)

    def evaluate(
        self, data_loader: BaseDataLoader, config: Settings, split: Split = "test"
    ) -> EvaluationReport:
        """Score the loaded model on a split, ask the gate, and log report and verdict to the model's run.

        Only the verdict on the test split lets the run be registered and promoted.
        A replay (``evaluation.replay``) repeats an evaluation of the past, and logs nothing.
        """

        def opponent() -> Champion | None:
            if (version := champion.find(config)) is None:
                return None
            return champion.ask(version, data_loader, config, split, self.run_id, self.ledger)

        return judging.evaluate(self.judge, opponent, self.run_id, data_loader, config, split)

    def judge(self, data_loader: BaseDataLoader, config: Settings, split: Split) -> EvaluationReport:
        """Score the loaded model on a split, without the gate; nothing is logged.

        Raises:
            EvaluationError: The data has other labels than the model, or in another order.
        """
        known = self.columns.labels if self.columns else ()
        if len(known) > 1 and known != data_loader.schema.labels:
            raise EvaluationError(
                f"The model predicts the labels {', '.join(known)}, in this order, and the data has "
                f"{', '.join(data_loader.schema.labels)}. Give data with the model's labels in the model's order, or train "
                "a new model."
            )
        return judging.score(self.answers, data_loader, config, split, self.classes)

    def judged_rows(
        self,
        data_loader: BaseDataLoader,
        config: Settings,
        split: Split,
        challenger_run_id: str,
        ledger: Ledger | None,
    ) -> tuple[JudgedRows, str]:
        """This model's predictions for the rows that a challenger is judged on, and a note about what they cost.

        See `champion.ask`.

        Raises:
            EvaluationError: The predictions cannot be scored.
        """
        features = self.features_of(data_loader.schema)
        return judging.judged_rows(self.answers, data_loader, config, split, features, self.classes), ""

    def features_of(self, schema: Schema) -> list[str]:
        """The columns that the loaded model takes of the rows of a dataset, in order."""
        if self.columns:
            return list(self.columns.features)
        inputs = self.signature.inputs if self.signature else None
        if inputs is None or inputs.is_tensor_spec() or not inputs.has_input_names():
            return list(schema.features)
        optional = {column.name for column in inputs if not column.required} - set(schema.used)
        return [name for name in inputs.input_names() if name not in optional]

    def answers(self, rows: "pd.DataFrame", config: Settings, scripts: Sequence[Script] = ()) -> Any:
        """Predictions [rows] in the form that the task scores: of several outputs, ``evaluation.output``.

        Args:
            scripts: The user's part in the conversation of each row; empty: all rows have one turn.

        Raises:
            ConversationError: Rows have several turns.
            EvaluationError: The model has no such output.
        """
        if any(scripts):
            raise ConversationError(
                "Rows of the golden data have several turns, which models of the wrappers llm and langgraph take."
            )
        found, name = self.predict(rows), config.evaluation.output
        return output_of(found, name) if name else found

    @property
    def run_id(self) -> str:
        """The MLflow run that logged the loaded model; "" for a model that was saved outside a run."""
        return (self.info.run_id if self.info else "") or ""

    @property
    def signature(self) -> "ModelSignature | None":
        """Inputs and outputs of the loaded model."""
        return self.info.signature if self.info else None

    @property
    def classes(self) -> list[Any]:
        """Classes of the label, in the order of the probabilities; empty if the model does not name them."""
        return list((self.info.metadata or {}).get(CLASSES_KEY, [])) if self.info else []

    @property
    def columns(self) -> Schema | None:
        """Columns of the training data; None for a model that was logged elsewhere."""
        found = (self.info.metadata or {}).get(COLUMNS_KEY) if self.info else None
        return Schema.from_dict(found) if found else None

    @property
    def source_columns(self) -> Schema | None:
        """Columns of the rows that `predict` takes: those of the source where the model carries ``data.prepare``."""
        found = (self.info.metadata or {}).get(SOURCE_KEY) if self.info else None
        return Schema.from_dict(found) if found else self.columns

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

    def metadata(self, config: Settings, columns: Schema | None = None) -> dict[str, Any]:
        """Metadata to log with a model.

        Args:
            config: The `model` section is read.
            columns: Columns of the training data, with the classes of a classifier.
        """
        found: dict[str, Any] = {WRAPPER_KEY: config.model.wrapper}
        if columns:
            found[COLUMNS_KEY] = columns.to_dict()
            if columns.classes and config.evaluation.task == "classification":
                found[CLASSES_KEY] = list(columns.classes)
        return found

    def matrix(self, input_data: Any) -> np.ndarray:
        """`matrix_dtype` [rows, outputs] of raw rows: a DataFrame or a list of ``{feature: value}``.

        Raises:
            InputError: A row lacks a feature, or has a value that its column cannot have.
        """
        if not self.encoder:
            return to_matrix(input_data, self.feature_names)
        try:
            return encoded(self.encoder, input_data).astype(self.matrix_dtype, copy=False)
        except BadValue as error:
            raise InputError(str(error)) from None

    @abstractmethod
    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        """Fit, log the model to `run_id` under the name ``model``, and return its URI."""

    def load(self, model_uri: str) -> Self:
        """Load a logged model into this wrapper and return the wrapper.

        Args:
            model_uri: ``models:/name/3``, ``runs:/<id>/model`` or a folder.

        Raises:
            ModelError: The model does not exist, or belongs to another wrapper.
        """
        from mlflow.exceptions import MlflowException
        from mlflow.models import Model

        self.folder = download(model_uri)
        try:
            self.info = Model.load(str(self.folder))
            mask_traces()  # a model's own code may trace too
            self.open(self.folder)
        except (MlflowException, ImportError, OSError, RuntimeError, ValueError) as error:
            raise ModelError(f"Cannot load {model_uri} with {type(self).__name__}: {error}") from error
        return self

    @abstractmethod
    def open(self, folder: Path) -> None:
        """Get ready to predict from the files of a downloaded model. `info` is set before."""

    @abstractmethod
    def predict(self, input_data: Any) -> Any:
        """Predictions [rows], in order, for a DataFrame or a list of rows ``{feature: value}``.

        Raises:
            InputError: A row lacks a feature or has a value that is not a number.
        """

    async def apredict(self, input_data: Any) -> Any:
        """`predict` for an event loop. A wrapper that waits for services overrides it, to block no thread."""
        return await asyncio.to_thread(self.predict, input_data)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        """Events of the model's work on one row; the last is a ``prediction`` or an ``interrupt``."""
        yield StreamEvent("prediction", (await self.apredict([row]))[0])

    def example(self) -> Any:
        """The input example that was logged with the model, in a form for `predict`; None without one."""
        saved = (self.info.saved_input_example_info if self.info else None) or {}
        inputs = self.signature.inputs if self.signature else None
        named = inputs and not inputs.is_tensor_spec() and inputs.has_input_names()
        if saved.get("type") == "ndarray" and named:
            # MLflow would cast the whole array to the type of the first column, and cut off fractions.
            matrix = json.loads((self.folder / saved["artifact_path"]).read_text(encoding="utf-8"))
            return [_as_row(row, inputs) for row in matrix]
        example: Any = self.info.load_input_example(str(self.folder)) if self.info else None
        return example.to_dict("records") if hasattr(example, "to_dict") else example

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        """The row for a chat in OpenAI's form.

        Its prediction is the answer's text, or an object with OpenAI's ``choices`` (as of MLflow's ChatModel), of which
        the first is the answer.

        Args:
            messages: ``role``, ``content`` and the role's other fields.
            options: The request's other fields that are not null: ``temperature``, ``tools``, ...

        Raises:
            InputError: The model does not take text, or cannot use a message or an option.
        """
        raise InputError("This model predicts from rows, not from messages. Send rows to /predict.")

    def keeps_state(self, row: Any) -> bool:
        """Whether the answer to this row changes later answers, like a turn of a conversation."""
        return False

    def attach(self, settings: Settings) -> None:  # noqa: B027 - most wrappers store nothing
        """Give a loaded model the settings of its process, for example the folder for conversations."""


def _as_row(values: Sequence[float], inputs: Any) -> dict[str, Any]:
    """Columns of a row, with whole numbers where the signature has them, from an array of floats."""
    whole = {column.name for column in inputs if column.type.name in ("integer", "long")}
    named = zip(inputs.input_names(), values, strict=True)
    return {name: int(value) if name in whole and math.isfinite(value) else value for name, value in named}
