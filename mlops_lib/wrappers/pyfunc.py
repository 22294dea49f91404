"""MLflow models that were logged outside the platform, through their python_function flavour."""

from pathlib import Path
from typing import Any

import numpy as np

from mlops_lib.errors import InputError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.wrappers.carried_code import carried_code
from mlops_lib.wrappers.interface import ModelWrapper


class PyfuncWrapper(ModelWrapper):
    """Evaluates and serves a model that was trained elsewhere. It cannot train."""

    name = "pyfunc"
    has_epochs = False

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        raise TrainingError(
            "The pyfunc wrapper only loads models. Set model.wrapper to the one that trains yours."
        )

    def open(self, folder: Path) -> None:
        import mlflow.pyfunc

        with carried_code(folder):
            self._model = mlflow.pyfunc.load_model(str(folder))

    def predict(self, input_data: Any) -> Any:
        """The model's own predictions; a DataFrame becomes an array (one column) or a list of rows."""
        import pandas as pd
        from mlflow.exceptions import MlflowException

        rows = input_data
        if isinstance(rows, list):
            rows = self._frame(rows) if rows and isinstance(rows[0], dict) else self._tensor(rows)
        if isinstance(rows, pd.DataFrame):
            rows = self._inputs_of(rows)
        try:
            predictions = self._model.predict(rows)
        except MlflowException as error:
            raise InputError(f"The model refused the rows: {error.message}") from error
        if isinstance(predictions, pd.DataFrame):
            one = predictions.shape[1] == 1
            return predictions.iloc[:, 0].to_numpy() if one else predictions.to_dict("records")
        return predictions

    def _inputs_of(self, rows: Any) -> Any:
        """The columns that the signature has: MLflow warns of others, such as the label, at each call."""
        inputs = self.signature.inputs if self.signature else None
        if not inputs or inputs.is_tensor_spec() or not inputs.has_input_names():
            return rows
        return rows[[name for name in rows if name in set(inputs.input_names())]]

    def _frame(self, rows: list[dict[str, Any]]) -> Any:
        """A DataFrame in the signature's types. JSON has fewer types, and MLflow does not convert all."""
        import pandas as pd

        frame = pd.DataFrame.from_records(rows)
        inputs = self.signature.inputs if self.signature else None
        for column in inputs.inputs if inputs and not inputs.is_tensor_spec() else ():
            kind = getattr(column.type, "name", "")
            floating = kind in ("float", "double")
            if column.name in frame and (
                floating or (kind == "integer" and frame[column.name].notna().all())
            ):
                frame[column.name] = frame[column.name].astype(column.type.to_pandas())
            if column.name in frame and kind == "datetime":
                try:
                    frame[column.name] = pd.to_datetime(
                        frame[column.name], utc=True, format="ISO8601"
                    ).dt.tz_localize(None)
                except (ValueError, OverflowError) as error:
                    raise InputError(f"Column {column.name!r} has no usable time: {error}") from None
        return frame

    def _tensor(self, rows: list[Any]) -> Any:
        """An array in the signature's type; the list itself for a function with type hints instead."""
        inputs = self.signature.inputs if self.signature else None
        if inputs and not inputs.is_tensor_spec():
            return rows
        return np.asarray(rows, dtype=inputs.inputs[0].type if inputs else None)
