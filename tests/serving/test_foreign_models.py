"""Models that somebody else logged to MLflow: registered, promoted, served, with nothing changed."""

import numpy as np
import pandas as pd
import pytest

from mlops_lib.registry import Registry
from serving.model import load
from tests.serving.shop import copy

pytestmark = pytest.mark.slow
FRAME = pd.DataFrame(
    {"a": np.array([1, 2, 3, 4], dtype="int32"), "b": np.array([0.5, 1.5, 2.5, 3.5], dtype="float32")}
)


def log_sklearn():
    import mlflow.sklearn
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(FRAME, [1.0, 2.0, 3.0, 5.0])
    mlflow.sklearn.log_model(
        model, name="model", input_example=FRAME, registered_model_name="sk", pip_requirements=[]
    )
    return [{"a": 1, "b": 0.5}, {"a": 4, "b": 3}], model.predict(FRAME.iloc[[0, 3]].assign(b=[0.5, 3.0]))


def log_tensor_network():
    import mlflow.pytorch
    import torch

    network = torch.nn.Linear(2, 1).eval()
    x = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    with torch.no_grad():
        expected = network(torch.from_numpy(x)).numpy()
    mlflow.pytorch.log_model(
        network,
        name="model",
        input_example=np.vstack([x, x]),
        registered_model_name="tn",
        pip_requirements=[],
    )
    return x.tolist(), expected


def log_function():
    import mlflow.pyfunc

    mlflow.pyfunc.log_model(
        name="model", python_model=lambda model_input: [len(text) for text in model_input],
        input_example=["one", "three"], registered_model_name="fn", pip_requirements=[],
    )  # fmt: skip
    return ["four", ""], np.array([4, 0])


@pytest.mark.parametrize(
    ("log", "name"), [(log_sklearn, "sk"), (log_tensor_network, "tn"), (log_function, "fn")]
)
def test_a_foreign_model_loads_and_answers(shop, tmp_path, log, name):
    """sklearn with narrow types, a network of tensors, a bare function: parsed by its signature, answered alike."""
    import mlflow

    from mlops_lib import tracking
    from mlops_lib.wrappers import download

    settings = copy(shop, tmp_path / "project")
    tracking.connect(settings)
    with mlflow.start_run():
        rows, expected = log()
    version = Registry(settings).resolve(name, version=1)
    loaded = load(version, download(version.uri), settings)
    import msgspec

    parsed, single = loaded.schema.parse(msgspec.json.encode({"inputs": rows}))
    assert not single
    said = loaded.wrapper.predict(loaded.schema.as_dicts(parsed))
    assert np.asarray(said, dtype=float) == pytest.approx(np.asarray(expected, dtype=float), abs=1e-5)
