"""Any MLflow model that somebody else logged, through its python_function flavour."""

from pathlib import Path
from typing import Any

import numpy as np

from mlops_lib.config import Settings
from mlops_lib.errors import InputError, TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.wrappers.base import ModelWrapper


class PyfuncWrapper(ModelWrapper):
    """Serves and evaluates a model that was trained elsewhere; it cannot train one."""

    name = "pyfunc"

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        raise TrainingError(
            "The pyfunc wrapper only loads models. Set model.wrapper to the one that trains yours."
        )

    def open(self, folder: Path) -> None:
        import mlflow.pyfunc

        self._model = mlflow.pyfunc.load_model(str(folder))

    def predict(self, input_data: Any) -> Any:
        """Predictions as the model gives them; a DataFrame of one column becomes its values."""
        import pandas as pd
        from mlflow.exceptions import MlflowException

        rows = input_data
        if isinstance(rows, list):
            rows = pd.DataFrame.from_records(rows) if rows and isinstance(rows[0], dict) else np.asarray(rows)
        try:
            predictions = self._model.predict(rows)
        except MlflowException as error:
            raise InputError(f"The model refused the rows: {error.message}") from error
        if isinstance(predictions, pd.DataFrame):
            one = predictions.shape[1] == 1
            return predictions.iloc[:, 0].to_numpy() if one else predictions.to_dict("records")
        return predictions
