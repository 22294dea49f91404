"""The wrapper of models that were logged outside the platform."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from mlops_lib.errors import InputError, TrainingError
from mlops_lib.llm.options import usable
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.wrappers.code.carried_code import carried_code
from mlops_lib.wrappers.interface import ModelWrapper, StreamEvent
from mlops_lib.wrappers.pyfunc.answers import by_row, joined
from mlops_lib.wrappers.pyfunc.forms import form_of, messages_column, rows_of
from mlops_lib.wrappers.pyfunc.frames import FrameMaker, exact
from mlops_lib.wrappers.pyfunc.items import as_items
from mlops_lib.wrappers.pyfunc.native import NativeModel, Predict, native_model, native_tensor
from mlops_lib.wrappers.pyfunc.requests import WholeRequest
from mlops_lib.wrappers.pyfunc.streams import can_stream, events

if TYPE_CHECKING:
    import pandas as pd

#: Loaders of a PythonModel: of a pickled one, and of one from a file of code.
PYTHON_MODELS = ("mlflow.pyfunc.model", "mlflow.pyfunc.loaders.code_model")


class PyfuncWrapper(ModelWrapper):
    """Evaluates and serves a model that was trained elsewhere. It cannot train.

    A conversational model (ChatModel, ChatAgent, ResponsesAgent) gets each row alone, as one request.
    """

    name = "pyfunc"
    has_epochs = False
    _frames: FrameMaker | None = None
    _native: NativeModel | None = None
    _native_tensor: Predict | None = None
    whole_requests: Literal["never", "on demand", "always"] = "on demand"

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        raise TrainingError(
            "The pyfunc wrapper only loads models. Set model.wrapper to the one that trains yours."
        )

    def open(self, folder: Path) -> None:
        with carried_code(folder):
            self._model = self._loaded(folder)
        self._form = form_of(self._model.metadata)
        self._inputs = self.signature.inputs if self.signature else None

        if self._form == "frame":
            is_code = self._model.loader_module in PYTHON_MODELS
            self._frames = FrameMaker(self._inputs.inputs, fill=not is_code)  # type: ignore[union-attr]
            if self._inputs.has_input_names():  # type: ignore[union-attr]
                self._open_native()
        if self._form == "tensor":
            example = self.example()
            array = None if example is None else self._value(example)
            self._native_tensor = native_tensor(self._model, array, self._call)
        if self._form == "request":  # such a model asks an LLM
            self.waits, self.whole_requests = True, "always"

    def predict(self, input_data: Any) -> Any:
        """The model's own predictions; a DataFrame becomes an array (one column) or a list of rows.

        Raises:
            InputError: The model refuses the rows.
            BadValue: A value does not fit its column.
        """
        if self._native and isinstance(input_data, np.ndarray):
            return self._on_matrix(self._native, input_data)
        if not isinstance(input_data, list):
            return by_row(self._call(self._known(input_data)))
        if self._native and (matrix := self._native.matrix(input_data)) is not None:
            return self._on_matrix(self._native, matrix)
        whole = [number for number, row in enumerate(input_data) if isinstance(row, WholeRequest)]
        if not whole:
            return self._predict_rows(input_data, {})
        parts = [([number], [self._answer(*input_data[number])]) for number in whole]
        if rest := [number for number in range(len(input_data)) if number not in whole]:
            parts.append((rest, self._predict_rows([input_data[number] for number in rest], {})))
        return joined(parts, len(input_data))

    async def apredict(self, input_data: Any) -> Any:
        if self._form != "request" or len(input_data) == 1:
            return await asyncio.to_thread(self.predict, input_data)
        answers = await asyncio.gather(*(asyncio.to_thread(self.predict, [row]) for row in input_data))
        return [answer for (answer,) in answers]

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        streams = self._form == "request" and can_stream(self._model.get_raw_model())
        found = events(lambda: self._chunks(dict(row))) if streams else super().astream(row)
        async for event in found:
            yield event

    def example(self) -> Any:
        """Rows of the input example that was logged with the model; None without one."""
        value = super().example()
        if value is None:
            return None
        if self._form == "request" and isinstance(value, dict):
            return [value]
        return [self._example_row(row) for row in rows_of(_as_lists(value), self._inputs)]

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        column = messages_column(self._model.metadata)
        if not column:
            return super().chat_row(messages, options)
        known = set(self.feature_names) - {column, "stream", "n"}
        row = {column: list(messages), **usable(options, known)}
        if isinstance(row.get("stop"), str):  # MLflow's form is a list
            row["stop"] = [row["stop"]]
        return row

    def _loaded(self, folder: Path) -> Any:
        """MLflow's model; an exported network of PyTorch with the device of its weights.

        MLflow takes the machine's GPU, and refuses weights that were exported on a CPU.
        """
        import mlflow.pyfunc
        from mlflow.exceptions import MlflowException

        flavour = self.info.flavors.get("pytorch", {}) if self.info else {}
        try:
            return mlflow.pyfunc.load_model(str(folder))
        except MlflowException:
            if not (folder / str(flavour.get("model_data")) / "model.pt2").is_file():
                raise
            return mlflow.pyfunc.load_model(str(folder), model_config={"device": "cpu"})

    def _open_native(self) -> None:
        columns: Any = self._inputs.inputs  # type: ignore[union-attr]
        example = self.example() or []
        self._native = native_model(self._model, columns, example, lambda rows: self._predict_rows(rows, {}))
        if self._native:
            self.takes_matrix, self.matrix_dtype, self.whole_requests = True, self._native.dtype, "never"

    def _example_row(self, row: Any) -> Any:
        if isinstance(row, dict):  # the names of a frame's columns may be numbers, and JSON has text alone
            return {str(name): value for name, value in row.items()}
        kinds = self._inputs.input_types() if self._inputs and self._form == "frame" else []
        binary = isinstance(row, str) and [getattr(kind, "name", "") for kind in kinds] == ["binary"]
        return base64.b64decode(row) if binary else row  # bytes are stored in base64

    def _answer(self, rows: list[Any], params: dict[str, Any]) -> Any:
        """The model's own answer to a whole request."""
        answer = self._predict_rows(rows, params)
        return answer[0] if self._form == "request" and len(rows) == 1 else answer

    def _predict_rows(self, rows: list[Any], params: dict[str, Any]) -> Any:
        if self._form == "request":
            return [self._call(dict(row), params) for row in rows]
        if self._frames:
            parts = [(numbers, self._on_frame(frame, params)) for numbers, frame in self._frames(rows)]
            return joined(parts, len(rows))
        value = self._value(rows)
        try:
            if self._native_tensor and not params and self._fits(value):
                return by_row(self._native_tensor(value))
            return by_row(self._call(value, params))
        except ValueError as error:
            if _has_gaps(value):
                raise _no_gaps(error) from error
            raise

    def _value(self, rows: list[Any]) -> Any:
        """Rows in the form that the model takes."""
        import pandas as pd

        if self._form == "tensors" and isinstance(rows[0], Mapping):
            return {
                spec.name: _tensor([row[str(spec.name)] for row in rows], spec)
                for spec in self._inputs  # type: ignore[union-attr]
            }
        if self._form == "tensor":
            return _tensor(rows, self._inputs.inputs[0])  # type: ignore[union-attr]
        if self._form == "any":
            return pd.DataFrame.from_records(rows) if isinstance(rows[0], Mapping) else np.asarray(rows)
        return as_items(rows, self._inputs.input_types()[0]) if self._inputs else rows

    def _known(self, frame: Any) -> Any:
        """A DataFrame without the columns that the model does not take, of which MLflow would warn at each call."""
        if self._form != "frame" or not self._inputs.has_input_names():  # type: ignore[union-attr]
            return frame
        names = set(self._inputs.input_names())  # type: ignore[union-attr]
        return frame[[name for name in frame if name in names]] if hasattr(frame, "columns") else frame

    def _on_matrix(self, native: NativeModel, matrix: np.ndarray) -> Any:
        try:
            return by_row(native(matrix))
        except ValueError as error:
            if np.isnan(matrix).any():
                raise _no_gaps(error) from error
            raise

    def _on_frame(self, frame: "pd.DataFrame", params: dict[str, Any]) -> Any:
        try:
            return by_row(self._call(frame, params))
        except ValueError as error:
            if frame.select_dtypes("floating").isna().any(axis=None):
                raise _no_gaps(error) from error
            raise

    def _fits(self, array: np.ndarray) -> bool:
        """Whether an array has the signature's shape; MLflow says what is wrong with another."""
        shape = self._inputs.inputs[0].shape  # type: ignore[union-attr]
        return array.ndim == len(shape) and all(
            wanted in (-1, size) for wanted, size in zip(shape, array.shape, strict=True)
        )

    def _chunks(self, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        from mlflow.exceptions import MlflowException

        try:
            yield from self._model.predict_stream(row)
        except MlflowException as error:
            raise InputError(f"The model refused the row: {error.message}") from error

    def _call(self, value: Any, params: dict[str, Any] | None = None) -> Any:
        from mlflow.exceptions import MlflowException

        try:
            return self._model.predict(value, params or None)
        except MlflowException as error:
            raise InputError(f"The model refused the rows: {error.message}") from error


def _no_gaps(error: Exception) -> InputError:
    """MLflow lets missing numbers pass, and not every model takes them."""
    return InputError(f"The model refused rows with missing numbers (null or NaN): {type(error).__name__}.")


def _has_gaps(value: Any) -> bool:
    """Whether a tensor, or one of several, has NaN."""
    tensors = value.values() if isinstance(value, dict) else [value]
    return any(
        isinstance(one, np.ndarray) and one.dtype.kind == "f" and np.isnan(one).any() for one in tensors
    )


def _tensor(rows: list[Any], spec: Any) -> np.ndarray:
    try:
        return exact(rows, spec.type)
    except OverflowError as error:
        raise InputError(f"The model takes {spec.type}: {error}.") from None


def _as_lists(value: Any) -> Any:
    """Arrays, and a dict's arrays, as lists."""
    if isinstance(value, dict):
        return {name: _as_lists(item) for name, item in value.items()}
    return value.tolist() if isinstance(value, np.ndarray) else value
