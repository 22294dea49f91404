"""A flavour's own model, called with a matrix: no DataFrame is made for a row.

It is used only if, when the model is opened, its answers equal those of MLflow's own path to the last bit.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.encode import BadValue

if TYPE_CHECKING:
    from mlflow.pyfunc import PyFuncModel
    from mlflow.types import ColSpec

#: MLflow's column types of numbers. Of those, only floats can be missing.
NUMBERS = {
    "boolean": np.bool_, "integer": np.int32, "long": np.int64, "float": np.float32, "double": np.float64,
}  # fmt: skip
WITH_GAPS = ("float", "double")
MADE_UP_ROWS = 8
#: scikit-learn's warning for each call of an estimator that was fitted on a DataFrame.
NO_NAMES = "X does not have valid feature names"

Predict = Callable[[np.ndarray], Any]


class NativeModel:
    """A model of named columns of numbers.

    Args:
        predict: Its answers to a matrix.
        columns: Columns of the signature, all of numbers.
        dtype: Of the matrix.
        like_frame: Whether the matrix must lie in memory as that of a DataFrame does, column by column:
            a matrix product adds in an order that depends on it.
    """

    def __init__(self, predict: Predict, columns: "Sequence[ColSpec]", dtype: Any, like_frame: bool) -> None:
        self._predict, self.dtype, self._like_frame = predict, np.dtype(dtype), like_frame
        self._names = [str(column.name) for column in columns]
        self._optional = {str(column.name) for column in columns if not column.required}
        kinds = list(map(_kind, columns))
        self._dtypes = [np.dtype(NUMBERS[kind]) for kind in kinds]
        #: Columns whose values MLflow rounds to 32 bits first.
        self._narrow = [at for at, kind in enumerate(kinds) if kind == "float" and self.dtype == np.float64]

    def __call__(self, matrix: np.ndarray) -> Any:
        """Answers to a matrix of `dtype` [rows, columns], with NaN for missing values.

        Raises:
            BadValue: A value is beyond the 32 bits of its column.
        """
        if self._narrow:
            matrix[:, self._narrow] = self._narrowed(matrix[:, self._narrow])
        if self._like_frame:
            matrix = np.array(matrix.T, order="C", copy=True).T
        return self._predict(matrix)

    def matrix(self, rows: Sequence[Any]) -> np.ndarray | None:
        """The matrix of rows ``{column: number}``; None if there are no rows, or a row lacks a column or has
        a value that is no number of the column's type."""
        try:
            values = [[self._value(row, name) for name in self._names] for row in rows]
            found = np.array(values)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
        if found.ndim != 2 or found.dtype.kind not in "biuf":
            return None
        if not np.can_cast(found.dtype, self.dtype, "same_kind"):
            return None
        return found.astype(self.dtype) if self._fits(found) else None

    def _narrowed(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            narrowed = values.astype(np.float32)
        if len(beyond := np.argwhere(np.isinf(narrowed) & np.isfinite(values))):
            row, at = map(int, beyond[0])
            name = self._names[self._narrow[at]]
            raise BadValue(row, name, float(values[row, at]), "a number of 32 bits")
        return narrowed

    def _fits(self, found: np.ndarray) -> bool:
        """Whether each number is one of its column's type: whole, or within the range of a float."""
        with np.errstate(over="ignore", invalid="ignore"):
            for values, dtype in zip(found.T, self._dtypes, strict=True):
                cast = values.astype(dtype)
                wrong = np.isinf(cast) & np.isfinite(values) if dtype.kind == "f" else cast != values
                if wrong.any():
                    return False
        return True

    def _value(self, row: Mapping[str, Any], name: str) -> Any:
        value = row.get(name) if name in self._optional else row[name]
        return np.nan if value is None and name in self._optional else value


def native_model(
    model: "PyFuncModel",
    columns: "Sequence[ColSpec]",
    example: Sequence[Any],
    answers: Callable[[list[Any]], Any],
) -> NativeModel | None:
    """The native model of a flavour; None where MLflow's own path is needed.

    Args:
        columns: Named columns of the signature.
        example: Rows of the model's example; empty without one.
        answers: MLflow's own path: predictions for rows.
    """
    kinds = list(map(_kind, columns))
    gaps = [kind for kind, column in zip(kinds, columns, strict=True) if not column.required]
    if set(kinds) - NUMBERS.keys() or set(gaps) - set(WITH_GAPS) or model.metadata.get_params_schema():
        return None
    dtype = np.result_type(*(NUMBERS[kind] for kind in kinds))
    make = FLAVOURS.get(model.loader_module or "")
    try:
        found = make(model, columns, dtype) if make else None
        rows = list(example) or _made_up(columns)
        if found and all(_same(found, answers, some) for some in _samples(rows, columns)):
            return found
    except Exception:  # the code of a model that needs a frame may raise anything
        return None
    return None


def native_tensor(model: "PyFuncModel", example: np.ndarray | None, answers: Predict) -> Predict | None:
    """The same for a signature of one tensor; None without an example.
    MLflow's own path only checks the array."""
    try:
        predict = _flavours_own(model) if model.loader_module in FLAVOURS else None
        if predict and example is not None and not model.metadata.get_params_schema():
            same = all(_equal(predict(some), answers(some)) for some in (example, example[:1]))
            return predict if same else None
    except Exception:  # as above
        return None
    return None


def _sklearn(model: "PyFuncModel", columns: "Sequence[ColSpec]", dtype: Any) -> NativeModel:
    return NativeModel(_flavours_own(model), columns, dtype, like_frame=True)


def _xgboost(model: "PyFuncModel", columns: "Sequence[ColSpec]", dtype: Any) -> NativeModel:
    raw = model.get_raw_model()
    if hasattr(raw, "inplace_predict"):  # a Booster, which knows the names of its columns
        return NativeModel(lambda x: raw.inplace_predict(x, validate_features=False), columns, dtype, False)
    return NativeModel(getattr(raw, _predict_name(model)), columns, dtype, like_frame=False)


def _lightgbm(model: "PyFuncModel", columns: "Sequence[ColSpec]", dtype: Any) -> NativeModel:
    # It rounds a matrix of integers to 32-bit floats, and a frame of them not.
    wide = np.result_type(dtype, np.float32)
    return NativeModel(getattr(model.get_raw_model(), _predict_name(model)), columns, wide, like_frame=False)


def _pytorch(model: "PyFuncModel", columns: "Sequence[ColSpec]", dtype: Any) -> NativeModel:
    predict = _flavours_own(model)

    def as_frame(matrix: np.ndarray) -> Any:
        """The outputs in the form of a frame's rows, which MLflow makes of them."""
        outputs = predict(matrix)
        if outputs.ndim == 1 or outputs.shape[1] == 1:
            return outputs.reshape(-1)
        return [dict(enumerate(row)) for row in outputs.tolist()]

    return NativeModel(as_frame, columns, np.float32, like_frame=True)


#: Loader of a flavour -> maker of its native model.
FLAVOURS: dict[str, Callable[["PyFuncModel", "Sequence[ColSpec]", Any], NativeModel]] = {
    "mlflow.sklearn": _sklearn,
    "mlflow.xgboost": _xgboost,
    "mlflow.lightgbm": _lightgbm,
    "mlflow.pytorch": _pytorch,
}


def _kind(column: "ColSpec") -> str:
    return getattr(column.type, "name", "")


def _predict_name(model: "PyFuncModel") -> str:
    return str(model.metadata.flavors["python_function"].get("predict_fn", "predict"))


def _flavours_own(model: "PyFuncModel") -> Predict:
    predict: Predict = getattr(model._model_impl, _predict_name(model))
    return predict


def _samples(rows: list[Any], columns: "Sequence[ColSpec]") -> list[list[Any]]:
    """Batches to compare: all rows, one alone, and one with its optional columns missing."""
    optional = [str(column.name) for column in columns if not column.required]
    return [rows, rows[:1], *([[{**rows[0], **dict.fromkeys(optional)}]] if optional else [])]


def _made_up(columns: "Sequence[ColSpec]") -> list[dict[str, Any]]:
    """Rows that fit the signature."""
    values = np.random.default_rng(0).uniform(-2, 2, (MADE_UP_ROWS, len(columns)))
    make: dict[str, Callable[[float], Any]] = {"boolean": lambda x: x > 0, "integer": round, "long": round}
    return [
        {str(column.name): make.get(_kind(column), float)(x) for column, x in zip(columns, row, strict=True)}
        for row in values.tolist()
    ]


def _same(native: NativeModel, answers: Callable[[list[Any]], Any], rows: list[Any]) -> bool:
    """Whether both give the same array: shape, dtype and every bit."""
    matrix = native.matrix(rows)
    if matrix is None:
        return False
    warnings.filterwarnings("ignore", NO_NAMES)
    found, wanted = native(matrix), answers(rows)
    return _equal(found, wanted) and len(found) == len(rows)


def _equal(found: Any, wanted: Any) -> bool:
    if not isinstance(found, np.ndarray) or not isinstance(wanted, np.ndarray):
        return isinstance(found, list) and repr(found) == repr(wanted)
    return (found.shape, found.dtype, found.tobytes()) == (wanted.shape, wanted.dtype, wanted.tobytes())
