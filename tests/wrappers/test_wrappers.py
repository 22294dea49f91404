"""`wrappers.load` finds the wrapper of a model, and imports no class that only the model names."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

from mlops_lib import tracking, wrappers
from mlops_lib.errors import InputError, ModelError
from mlops_lib.wrappers.lightning import PytorchLightningWrapper
from mlops_lib.wrappers.pyfunc import PyfuncWrapper
from mlops_lib.wrappers.sklearn import SklearnWrapper

X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
ROWS = X.to_dict("records")


def somebody_logs(stored, log) -> str:
    """Log a model without the platform; return its URI."""
    tracking.connect(stored.settings())
    with mlflow.start_run():
        return log().model_uri


def test_a_foreign_sklearn_model_is_served_as_it_is(stored):
    """Plain mlflow.sklearn, no metadata: loaded by its flavour, same predictions as the estimator."""
    estimator = LogisticRegression().fit(X, [0, 0, 1, 1])

    def log():
        signature = infer_signature(X, estimator.predict(X))
        return mlflow.sklearn.log_model(estimator, name="m", signature=signature, pip_requirements=[])

    model = wrappers.load(somebody_logs(stored, log))
    assert isinstance(model, PyfuncWrapper) and model.feature_names == ["a", "b"]
    assert model.predict(X).tolist() == estimator.predict(X).tolist() == model.predict(ROWS).tolist()
    with pytest.raises(InputError, match="b"):
        model.predict([{"a": 1.0}])


def test_columns_that_a_foreign_model_does_not_know_are_left_out_quietly(stored, caplog):
    """Test rows have their label and key too, of which MLflow would warn at each call."""
    estimator = LogisticRegression().fit(X, [0, 0, 1, 1])

    def log():
        signature = infer_signature(X, estimator.predict(X))
        return mlflow.sklearn.log_model(estimator, name="m", signature=signature, pip_requirements=[])

    model = wrappers.load(somebody_logs(stored, log))
    with caplog.at_level("WARNING"):
        assert model.predict(X.assign(label=1, key="k")).tolist() == estimator.predict(X).tolist()
    assert "extra inputs" not in caplog.text


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_a_foreign_pytorch_model_is_served_as_it_is(stored, monkeypatch, device):
    """Plain mlflow.pytorch of a bare torch module: arrays in, the module's outputs out; also where MLflow wants a GPU."""
    network = torch.nn.Linear(2, 1).eval()
    x = X.to_numpy(dtype="float32")
    expected = network(torch.from_numpy(x)).detach().numpy()

    def log():
        signature = infer_signature(x, expected)
        return mlflow.pytorch.log_model(
            network, name="m", signature=signature, input_example=x, pip_requirements=[]
        )

    uri = somebody_logs(stored, log)
    monkeypatch.setenv("MLFLOW_DEFAULT_PREDICTION_DEVICE", device)
    model = wrappers.load(uri)
    assert isinstance(model, PyfuncWrapper)
    assert np.allclose(model.predict(x.tolist() if isinstance(x, list) else x), expected)


def test_a_foreign_python_model_is_served_as_it_is(stored):
    """A pyfunc that returns a table of one column: the column becomes the predictions."""

    class Doubler(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input, params=None):
            return pd.DataFrame({"doubled": model_input["a"] * 2})

    def log():
        return mlflow.pyfunc.log_model(
            name="m", python_model=Doubler(), signature=infer_signature(X), pip_requirements=[]
        )

    assert wrappers.load(somebody_logs(stored, log)).predict(ROWS).tolist() == [0, 2, 4, 6]


def log_with_metadata(name):
    """A log function for a model that names a wrapper."""
    estimator = LogisticRegression().fit(X, [0, 0, 1, 1])
    return lambda: mlflow.sklearn.log_model(
        estimator,
        name="m",
        signature=infer_signature(X),
        metadata={"mlops_wrapper": name},
        pip_requirements=[],
    )


def test_the_wrapper_in_the_metadata_is_taken(stored):
    """A model that SklearnWrapper logged is loaded by one."""
    assert isinstance(wrappers.load(somebody_logs(stored, log_with_metadata("sklearn"))), SklearnWrapper)


def test_a_class_that_only_the_registry_names_is_not_imported(stored):
    """A class from the metadata must be in config.yaml too, before its code runs."""
    uri = somebody_logs(stored, log_with_metadata("toy_models:NanWrapper"))
    with pytest.raises(
        ModelError, match=r"'toy_models:NanWrapper'.*lightning.*sklearn.*pyfunc.*set model\.wrapper"
    ):
        wrappers.load(uri)
    stored.settings()  # puts the project's folder on the path, as every entry point does
    assert type(wrappers.load(uri, "toy_models:NanWrapper")).__name__ == "NanWrapper"


def test_a_model_of_another_kind_is_refused_by_name(stored):
    """An sklearn model in the Lightning wrapper is a ModelError."""
    uri = somebody_logs(stored, log_with_metadata("sklearn"))
    with pytest.raises(ModelError, match="with PytorchLightningWrapper"):
        PytorchLightningWrapper().load(uri)


@pytest.mark.parametrize("uri", ["models:/nobody/3", "runs:/0123456789abcdef/model", "/no/such/folder"])
def test_a_model_that_is_not_there_is_named(stored, uri):
    """The error names the address."""
    tracking.connect(stored.settings())
    with pytest.raises(ModelError, match=uri):
        wrappers.load(uri)


def test_a_folder_that_holds_no_model_is_named(stored, tmp_path):
    """A folder without an MLmodel file is a ModelError."""
    tracking.connect(stored.settings())
    with pytest.raises(ModelError, match="is no MLflow model"):
        wrappers.load(str(tmp_path))
