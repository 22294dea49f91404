"""The code that MLflow stores with an LLM model, so that ``mlflow.pyfunc.load_model`` can load it."""

from pathlib import Path
from typing import Any

import mlflow
from mlflow.pyfunc import PythonModel


class PackagedModel(PythonModel):
    """Passes rows on to the wrapper that logged the model. mlops-lib must be installed."""

    def load_context(self, context: Any) -> None:
        from mlops_lib.wrappers import load

        self.wrapper = load(str(Path(context.artifacts["package"]).parents[1]))

    # Without type hints, which MLflow would use as a schema.
    def predict(self, context, model_input, params=None):
        return self.wrapper.predict(model_input)


mlflow.models.set_model(PackagedModel())
