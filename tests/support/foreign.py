"""Models logged with MLflow alone. Prints, for each, some rows and the model's own predictions for them.

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


def ragged_model(**logged):
    """A function whose answers are lists of different lengths."""

    def words(model_input: list[str]) -> list[list[str]]:
        return [text.split() for text in model_input]

    mlflow.pyfunc.log_model(name="model", python_model=words, input_example=["one two", "three"], **logged)
    return ["a b c", "d"], [["a", "b", "c"], ["d"]]


class Named(mlflow.pyfunc.PythonModel):
    """Answers with one array for each name."""

    def predict(self, context, model_input, params=None):
        return {"double": model_input["x"].to_numpy() * 2, "known": [True] * len(model_input)}


def named_model(**logged):
    """A class whose answer is a dict of arrays."""
    example = pd.DataFrame({"x": [1.5, 2.5]})
    mlflow.pyfunc.log_model(name="model", python_model=Named(), input_example=example, **logged)
    return [{"x": 1.5}, {"x": 4}], [{"double": 3.0, "known": True}, {"double": 8.0, "known": True}]


class Years(mlflow.pyfunc.PythonModel):
    """Answers with the year of a time, which pandas keeps without an offset."""

    def predict(self, context, model_input, params=None):
        return model_input["when"].dt.year.to_numpy()


def dated_model(**logged):
    """A class that takes a column of datetimes."""
    example = pd.DataFrame({"when": pd.to_datetime(["2020-01-01", "2021-01-01"])})
    mlflow.pyfunc.log_model(name="model", python_model=Years(), input_example=example, **logged)
    whens = ["2020-01-01T00:30:00Z", "2020-01-01T00:30:00+01:00", "2020-01-01 00:30:00"]
    return [{"when": when} for when in whens], [2020, 2019, 2020]


class Top(mlflow.pyfunc.PythonModel):
    """Answers with `k` texts for each row."""

    def predict(self, context, model_input, params=None):
        return [f"{user}-{rank}" for user in model_input["user"] for rank in range(params["k"])]


def top_model(**logged):
    """A class whose answer is not one a row, and depends on params."""
    example = (pd.DataFrame({"user": ["u"]}), {"k": 3})
    mlflow.pyfunc.log_model(name="model", python_model=Top(), input_example=example, **logged)
    return [{"user": "a"}], ["a-0", "a-1", "a-2"]


class Echo(mlflow.pyfunc.ChatModel):
    """Answers a chat in capitals."""

    def predict(self, context, messages, params):
        from mlflow.types.llm import ChatChoice, ChatCompletionResponse, ChatMessage

        answer = ChatMessage(role="assistant", content=messages[-1].content.upper())
        return ChatCompletionResponse(choices=[ChatChoice(index=0, message=answer)], model="echo")


def echo_model(**logged):
    """A ChatModel."""
    mlflow.pyfunc.log_model(name="model", python_model=Echo(), **logged)
    return [{"messages": [{"role": "user", "content": "hello"}]}], ["HELLO"]


if __name__ == "__main__":
    said = {}
    for name, log in (
        ("sklearn", sklearn_model), ("xgboost", xgboost_model), ("pytorch", pytorch_model), ("pyfunc", pyfunc_model),
        ("ragged", ragged_model), ("named", named_model), ("dated", dated_model), ("top", top_model), ("echo", echo_model),
    ):  # fmt: skip
        with mlflow.start_run():
            rows, answers = log(registered_model_name=name, pip_requirements=[])
        mlflow.MlflowClient().transition_model_version_stage(name, "1", "Production")
        said[name] = {
            "rows": rows,
            "answers": answers if isinstance(answers, list) else np.ravel(answers).tolist(),
        }
    assert not [module for module in sys.modules if module.startswith("mlops_lib")]
    print(json.dumps(said))
