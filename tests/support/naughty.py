"""A foreign model (logged from code) that fails in a way that its input chooses."""

import sys
import time

import mlflow
import numpy as np


class Naughty(mlflow.pyfunc.PythonModel):
    """Answers x; special values of x raise, hang, exit, sleep, or answer NaN or too few rows."""

    def predict(self, context, model_input, params=None):
        x = model_input["x"].to_numpy(dtype=float)
        if 666 in x:
            raise ValueError("secret-value-666")
        if 13 in x:
            while True:
                time.sleep(0.01)
        if 7 in x:
            sys.exit(7)
        if 5 in x:
            time.sleep(1.5)
        return np.where(x == 404, np.nan, x)[: -1 if 99 in x else None]


mlflow.models.set_model(Naughty())
