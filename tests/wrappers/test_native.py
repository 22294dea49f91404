"""Estimators that were logged with MLflow alone answer from a matrix what MLflow's own path answers, to the last bit."""

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mlops_lib import wrappers
from mlops_lib.columns.encode import BadValue
from mlops_lib.errors import InputError
from mlops_lib.wrappers.pyfunc import native

pytestmark = pytest.mark.filterwarnings("ignore")
RANDOM = np.random.default_rng(0)
FLOATS = pd.DataFrame(RANDOM.normal(size=(200, 6)), columns=list("abcdef"))
MIXED = pd.DataFrame(
    {
        "long": RANDOM.integers(-9, 9, 200),
        "integer": RANDOM.integers(-9, 9, 200).astype("int32"),
        "float": RANDOM.normal(size=200).astype("float32"),
        "double": RANDOM.normal(size=200),
        "boolean": RANDOM.random(200) > 0.5,
    }
)
NARROW = FLOATS.astype("float32")
WHOLE = MIXED[["long", "integer"]]
GAPS = FLOATS.mask(RANDOM.random(FLOATS.shape) < 0.2)


def labels(frame):
    """0 or 1, which depend on the columns."""
    return (frame.fillna(0).astype(float).sum(axis=1) > 0).astype(int)


def scikit(estimator, frame, folder, **more):
    """A scikit-learn model."""
    mlflow.sklearn.save_model(
        estimator.fit(frame, labels(frame)),
        folder,
        serialization_format="cloudpickle",
        pip_requirements=[],
        **more,
    )


def xgboost(model, frame, folder, **more):
    """An XGBoost model, or its booster."""
    mlflow.xgboost.save_model(model, folder, pip_requirements=[], **more)


def lightgbm(model, frame, folder, **more):
    """A LightGBM model, or its booster."""
    mlflow.lightgbm.save_model(model, folder, pip_requirements=[], **more)


def pytorch(outputs, frame, folder, **more):
    """A network with so many outputs."""
    torch.manual_seed(0)
    network = torch.nn.Sequential(
        torch.nn.Linear(frame.shape[1], 9), torch.nn.ReLU(), torch.nn.Linear(9, outputs)
    )
    mlflow.pytorch.save_model(
        network.eval(), folder, serialization_format="pickle", pip_requirements=[], **more
    )


def boosted(frame, booster=False):
    """XGBoost's classifier, or its booster."""
    from xgboost import XGBClassifier

    fitted = XGBClassifier(n_estimators=20, n_jobs=1).fit(frame, labels(frame))
    return fitted.get_booster() if booster else fitted


def light(frame, booster=False):
    """LightGBM's classifier, or its booster."""
    from lightgbm import LGBMClassifier

    fitted = LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1).fit(frame, labels(frame))
    return fitted.booster_ if booster else fitted


def by_name():
    """A pipeline that selects columns by name, so it needs a frame."""
    return make_pipeline(ColumnTransformer([("scaled", StandardScaler(), ["a", "b"])]), LogisticRegression())


CASES = {
    "linear": (lambda f, **m: scikit(LinearRegression(), FLOATS, f, **m), FLOATS, True),
    "logistic": (lambda f, **m: scikit(LogisticRegression(), FLOATS, f, pyfunc_predict_fn="predict_proba", **m), FLOATS, True),
    "pipeline": (lambda f, **m: scikit(make_pipeline(StandardScaler(), LogisticRegression()), MIXED, f, **m), MIXED, True),
    "linear of all kinds": (lambda f, **m: scikit(LinearRegression(), MIXED, f, **m), MIXED, True),
    "32-bit floats": (lambda f, **m: scikit(LinearRegression(), NARROW, f, **m), NARROW, True),
    "whole numbers": (lambda f, **m: scikit(LinearRegression(), WHOLE, f, **m), WHOLE, True),
    "forest": (lambda f, **m: scikit(RandomForestRegressor(5, n_jobs=1), FLOATS, f, **m), FLOATS, True),
    "with gaps": (lambda f, **m: scikit(make_pipeline(SimpleImputer(), LinearRegression()), GAPS, f, **m), GAPS, True),
    "columns by name": (lambda f, **m: scikit(by_name(), FLOATS, f, **m), FLOATS, False),
    "columns by position": (
        lambda f, **m: scikit(make_pipeline(FunctionTransformer(lambda x: np.asarray(x)[:, :2]), LinearRegression()), FLOATS, f, **m),
        FLOATS, True,
    ),
    "a frame's methods": (
        lambda f, **m: scikit(make_pipeline(FunctionTransformer(lambda x: x.assign(g=1)), LinearRegression()), FLOATS, f, **m),
        FLOATS, False,
    ),
    "a frame's own rule": (
        lambda f, **m: scikit(
            make_pipeline(FunctionTransformer(lambda x: np.asarray(x) * (2 if hasattr(x, "columns") else 1)), LinearRegression()),
            FLOATS, f, **m,
        ),
        FLOATS, False,
    ),
    "XGBClassifier": (lambda f, **m: xgboost(boosted(MIXED), MIXED, f, **m), MIXED, True),
    "xgboost.Booster": (lambda f, **m: xgboost(boosted(FLOATS, True), FLOATS, f, **m), FLOATS, True),
    "xgboost with gaps": (lambda f, **m: xgboost(boosted(GAPS), GAPS, f, **m), GAPS, True),
    "LGBMClassifier": (lambda f, **m: lightgbm(light(FLOATS), FLOATS, f, **m), FLOATS, True),
    "lightgbm.Booster": (lambda f, **m: lightgbm(light(MIXED, True), MIXED, f, **m), MIXED, True),
    "lightgbm of whole numbers": (lambda f, **m: lightgbm(light(WHOLE, True), WHOLE, f, **m), WHOLE, True),
    "network": (lambda f, **m: pytorch(1, FLOATS, f, **m), FLOATS, True),
    "network of three outputs": (lambda f, **m: pytorch(3, FLOATS, f, **m), FLOATS, True),
}  # fmt: skip


def as_rows(frame):
    """Rows as a server gets them: null for a missing value."""
    return [
        {name: None if pd.isna(value) else value for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def same(found, wanted):
    """Whether two answers are the same to the last bit."""
    if isinstance(wanted, pd.DataFrame):
        wanted = wanted.iloc[:, 0].to_numpy() if wanted.shape[1] == 1 else wanted.to_dict("records")
    if isinstance(found, list):
        return repr(found) == repr(wanted)
    return (found.dtype, found.shape, found.tobytes()) == (wanted.dtype, wanted.shape, wanted.tobytes())


@pytest.mark.parametrize("example", [True, False], ids=["with an example", "without one"])
@pytest.mark.parametrize("name", CASES)
def test_a_matrix_gets_the_answers_of_a_frame(tmp_path, name, example):
    """For many rows, one row, and a matrix; a model that needs a frame gets one."""
    log, frame, is_native = CASES[name]
    log(
        tmp_path / "model",
        signature=infer_signature(frame),
        **({"input_example": frame[:3]} if example else {}),
    )
    model, mlflows = wrappers.load(str(tmp_path / "model")), mlflow.pyfunc.load_model(str(tmp_path / "model"))
    assert model.takes_matrix is is_native
    for some in (frame, frame[:1], frame[7:8], frame[5:42]):
        wanted = mlflows.predict(some)
        assert same(model.predict(as_rows(some)), wanted)
        if is_native:
            matrix = np.array([tuple(row.values()) for row in as_rows(some)], dtype=model.matrix_dtype)
            assert same(model.predict(matrix), wanted)


def test_no_frame_is_made_for_a_row(tmp_path, monkeypatch):
    """Neither by the wrapper nor by MLflow."""
    scikit(LinearRegression(), FLOATS, tmp_path / "model", signature=infer_signature(FLOATS))
    model = wrappers.load(str(tmp_path / "model"))
    expected = model.predict(as_rows(FLOATS[:2]))
    monkeypatch.setattr(model, "_frames", None)
    monkeypatch.setattr(type(model._model), "predict", None)
    assert model.predict(as_rows(FLOATS[:2])).tolist() == expected.tolist()


def test_rows_that_do_not_fit_are_refused_as_without_a_matrix(tmp_path):
    """Text for a number, a fraction for a whole number, a column that is missing: named, not converted."""
    scikit(LinearRegression(), WHOLE, tmp_path / "model", signature=infer_signature(WHOLE))
    model = wrappers.load(str(tmp_path / "model"))
    assert model.takes_matrix and model.matrix_dtype == np.int64
    assert model.predict([{"long": 3.0, "integer": 2}]) == model.predict([{"long": 3, "integer": 2}])
    for bad in ("1", 1.5, None, [1]):
        with pytest.raises(BadValue, match="Row 1: 'long'"):
            model.predict([{"long": 1, "integer": 1}, {"long": bad, "integer": 1}])
    with pytest.raises(InputError, match="Row 0 has no column 'integer'"):
        model.predict([{"long": 1}])


@pytest.mark.parametrize(
    ("column", "value"),
    [("float", 1e40), ("float", -(10**40)), ("long", 1.5), ("integer", 2**40), ("boolean", 2)],
)
def test_a_number_beyond_its_column_is_refused_in_a_matrix_of_several_types(tmp_path, column, value):
    """The matrix has 64-bit floats, and each column its own type: no infinity, no fraction of a whole number."""
    scikit(LinearRegression(), MIXED, tmp_path / "model", signature=infer_signature(MIXED))
    model = wrappers.load(str(tmp_path / "model"))
    assert model.takes_matrix and model.matrix_dtype == np.float64
    good = as_rows(MIXED[:1])[0]
    with pytest.raises(BadValue, match=f"Row 1: '{column}'"):
        model.predict([good, {**good, column: value}])
    if column == "float":
        with pytest.raises(BadValue, match="Row 1: 'float' is .*1e.40, and must be a number of 32 bits"):
            model.predict(np.array([list(good.values()), list({**good, column: value}.values())], float))


def test_a_number_beyond_32_bits_is_refused_in_a_matrix_of_32_bits(tmp_path):
    """Rows of a model whose columns are all 32-bit floats."""
    scikit(LinearRegression(), NARROW, tmp_path / "model", signature=infer_signature(NARROW))
    model, good = wrappers.load(str(tmp_path / "model")), as_rows(NARROW[:1])[0]
    with pytest.raises(BadValue, match="Row 1: 'b'"):
        model.predict([good, {**good, "b": 1e40}])


@pytest.mark.parametrize("by", ["matrix", "frame"])
def test_no_rows_have_no_predictions(tmp_path, by):
    """An empty list of rows is no error of a matrix."""
    scikit(
        LinearRegression() if by == "matrix" else by_name(),
        FLOATS,
        tmp_path / "model",
        signature=infer_signature(FLOATS),
    )
    model = wrappers.load(str(tmp_path / "model"))
    assert model.takes_matrix is (by == "matrix")
    assert len(model.predict([])) == 0


def test_a_list_in_a_column_of_numbers_is_refused(tmp_path):
    """Two columns of lists of two numbers have the shape of a batch of matrices."""
    scikit(
        LinearRegression(),
        FLOATS[["a", "b"]],
        tmp_path / "model",
        signature=infer_signature(FLOATS[["a", "b"]]),
    )
    model = wrappers.load(str(tmp_path / "model"))
    assert model.takes_matrix
    with pytest.raises(BadValue, match="Row 0: 'a'"):
        model.predict([{"a": [1.0, 2.0], "b": [3.0, 4.0]}])


@pytest.mark.parametrize("by", ["matrix", "frame"])
def test_a_missing_number_that_the_model_refuses_is_the_callers_fault(tmp_path, by):
    """MLflow passes null in any column of floats to the model, which says no."""
    estimator = LinearRegression() if by == "matrix" else by_name()
    scikit(estimator, FLOATS, tmp_path / "model", signature=infer_signature(FLOATS))
    model = wrappers.load(str(tmp_path / "model"))
    assert model.takes_matrix is (by == "matrix")
    row = {**FLOATS.iloc[0].to_dict(), "a": None}
    with pytest.raises(InputError, match=r"missing numbers .*ValueError"):
        model.predict(np.array([[np.nan] * 6]) if by == "matrix" else [row])
    with pytest.raises(InputError, match=r"missing numbers .*ValueError"):
        model.predict([row])


def test_what_a_matrix_cannot_hold_stays_with_frames(tmp_path):
    """Text, optional whole numbers, and params."""
    text = pd.DataFrame({"a": ["x", "y"], "b": [1.0, 2.0]})
    pipeline = make_pipeline(FunctionTransformer(lambda x: np.ones((len(x), 1))), LinearRegression())
    numbers = [ColSpec("double", "b"), ColSpec("long", "a", required=False)]
    with_params = infer_signature(FLOATS)
    with_params.params = ParamSchema([ParamSpec("k", "long", 1)])
    for number, (frame, signature) in enumerate(
        [
            (text, infer_signature(text)),
            (FLOATS, ModelSignature(Schema(numbers))),
            (FLOATS, with_params),
        ]
    ):
        folder = tmp_path / str(number)
        mlflow.sklearn.save_model(
            pipeline.fit(frame, np.arange(len(frame))), folder, signature=signature,
            serialization_format="cloudpickle", pip_requirements=[],
        )  # fmt: skip
        assert not wrappers.load(str(folder)).takes_matrix


def test_a_network_of_one_tensor_is_called_with_the_array(tmp_path, monkeypatch):
    """Without MLflow's checks on the way; an array of another shape is refused by MLflow's own words."""
    array = FLOATS[:5].to_numpy("float32")
    pytorch(2, FLOATS, tmp_path / "model", input_example=array)
    model = wrappers.load(str(tmp_path / "model"))
    wanted = mlflow.pyfunc.load_model(str(tmp_path / "model")).predict(array)
    with pytest.raises(InputError, match="shape"):
        model.predict([[1.0, 2.0]])
    monkeypatch.setattr(type(model._model), "predict", None)
    assert same(model.predict(array.tolist()), wanted)


def test_a_flavour_without_a_native_model_is_left_to_mlflow():
    """The table has the four flavours whose predict is a function of numbers alone."""
    assert sorted(native.FLAVOURS) == [
        "mlflow.lightgbm",
        "mlflow.pytorch",
        "mlflow.sklearn",
        "mlflow.xgboost",
    ]
