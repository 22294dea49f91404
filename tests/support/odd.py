"""A model whose columns have the names of HTML form properties, one of each kind that the page has a field for."""

import mlflow
import numpy as np


class Odd(mlflow.pyfunc.PythonModel):
    """Answers 100 for true, plus `length`, plus the length of `append`."""

    def predict(self, context, model_input, params=None):
        texts = np.array([len(text) for text in model_input["append"]])
        return model_input["item"].to_numpy() * 100 + model_input["length"].to_numpy() + texts


mlflow.models.set_model(Odd())
