"""Somebody else's models, logged with MLflow alone: prints, for each, rows and what the model itself says to them.

python tests/serving/foreign.py
"""

import json
import sys

import mlflow
import numpy as np
import pandas as pd

FRAME = pd.DataFrame(
    {"a": np.array([1, 2, 3, 4], dtype="int32"), "b": np.array([0.5, 1.5, 2.5, 3.5], dtype="float32")}
)
LABELS = [1.0, 2.0, 3.0, 5.0]
ASKED = FRAME.iloc[[0, 3]].assign(b=np.array([0.5, 3.0], dtype="float32"))


def sklearn_model(**logged):
    """A regression with an integer column and a narrow one."""
    from sklearn.linear_model import LinearRegression

    model = LinearRegression().fit(FRAME, LABELS)
    mlflow.sklearn.log_model(model, name="model", input_example=FRAME, **logged)
    return ASKED.to_dict("records"), model.predict(ASKED)


def xgboost_model(**logged):
    """Boosted trees."""
    from xgboost import XGBRegressor

    model = XGBRegressor(n_estimators=5, min_child_weight=0).fit(FRAME, LABELS)
    mlflow.xgboost.log_model(model, name="model", input_example=FRAME, **logged)
    return ASKED.to_dict("records"), model.predict(ASKED)


def pytorch_model(**logged):
    """A network that takes a tensor [rows, 2]."""
    import torch

    network = torch.nn.Linear(2, 1).eval()
    x = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    mlflow.pytorch.log_model(network, name="model", input_example=np.vstack([x, x]), **logged)
    with torch.no_grad():
        return x.tolist(), network(torch.from_numpy(x)).numpy()


def pyfunc_model(**logged):
    """A function of texts."""

    def lengths(model_input: list[str]) -> list[int]:
        return [len(text) for text in model_input]

    mlflow.pyfunc.log_model(name="model", python_model=lengths, input_example=["one", "three"], **logged)
    return ["four", "a"], [4, 1]


if __name__ == "__main__":
    said = {}
    for name, log in (
        ("sklearn", sklearn_model), ("xgboost", xgboost_model), ("pytorch", pytorch_model), ("pyfunc", pyfunc_model)
    ):  # fmt: skip
        with mlflow.start_run():
            rows, answers = log(registered_model_name=name, pip_requirements=[])
        mlflow.MlflowClient().transition_model_version_stage(name, "1", "Production")
        said[name] = {"rows": rows, "answers": np.asarray(answers, dtype=float).ravel().tolist()}
    assert not [module for module in sys.modules if module.startswith("mlops_lib")]
    print(json.dumps(said))
