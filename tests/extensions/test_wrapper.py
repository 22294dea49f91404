"""A new model wrapper is one file and one line."""

import pytest

from mlops_lib import loaders, registry, wrappers

WRAPPER = """
import json

import mlflow
import numpy as np
from mlflow.models import infer_signature
from mlops_lib.wrappers.interface import ModelWrapper

class FrequencyWrapper(ModelWrapper):
    '''Predicts the share of repeat customers among those who bought as often.'''

    name = "frequency"

    def fit(self, data_loader, config, run_id):
        rows = data_loader.load("train")
        shares = rows.groupby("frequency")[data_loader.schema.label].mean()
        with mlflow.start_run(run_id=run_id):
            return mlflow.pyfunc.log_model(
                name="model",
                python_model=lambda model_input: model_input,
                model_config={"shares": {str(key): float(value) for key, value in shares.items()}},
                signature=infer_signature(rows[["frequency"]], np.zeros(1)),
                pip_requirements=[],
                metadata=self.metadata(config),
            ).model_uri

    def open(self, folder):
        self.shares = self.info.flavors["python_function"]["config"]["shares"]

    def predict(self, input_data):
        rows = input_data.to_dict("records") if hasattr(input_data, "to_dict") else input_data
        return np.array([self.shares.get(str(row["frequency"]), 0.5) for row in rows])
"""


@pytest.mark.slow
def test_a_toy_wrapper_trains_is_judged_registered_loaded_and_predicts(stored, extend):
    """The whole path of a model, in a real MLflow."""
    extend("wrapper", "frequency", "FrequencyWrapper", WRAPPER)
    settings = stored.settings(model__wrapper="frequency")
    loaders.from_settings(settings).write(loaders.prepared_folder(settings))
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    assert model.evaluate(dataset, settings).verdict.passed
    version = registry.register_run(settings, result.run_id)
    again = wrappers.load(f"models:/{version.name}/{version.version}")
    assert type(again).__name__ == "FrequencyWrapper"
    rows = dataset.load("test").head(5)
    assert again.predict(rows).tolist() == model.predict(rows.to_dict("records")).tolist()
