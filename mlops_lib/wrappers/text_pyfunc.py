"""The code that MLflow keeps with an LLM model, so that plain ``mlflow.pyfunc.load_model`` works too."""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel


class PackagedModel(PythonModel):
    """Hands rows to the wrapper that logged the model; mlops-lib must be installed."""

    def load_context(self, context: Any) -> None:
        from mlops_lib.wrappers import load

        self.wrapper = load(str(Path(context.artifacts["package"]).parents[1]))

    def predict(self, context, model_input, params=None):  # MLflow takes type hints for a schema
        return self.wrapper.predict(model_input)


mlflow.models.set_model(PackagedModel())
