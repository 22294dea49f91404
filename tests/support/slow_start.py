"""A model that loads at once in the first process that loads it, and after some seconds in every other."""

import os
import time
from pathlib import Path

import mlflow


class SlowStart(mlflow.pyfunc.PythonModel):
    """Answers x."""

    def load_context(self, context):
        try:
            Path(os.environ["SLOW_START_FILE"]).touch(exist_ok=False)
        except FileExistsError:
            time.sleep(5)

    def predict(self, context, model_input, params=None):
        return model_input["x"].to_numpy(dtype=float)


mlflow.models.set_model(SlowStart())
