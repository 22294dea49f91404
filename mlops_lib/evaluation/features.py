"""Features of any kind as columns that the linear baselines can use."""

from decimal import Decimal
from typing import Any, Literal

import numpy as np
import pandas as pd
from pandas.api import types

from mlops_lib.columns.images import is_image_file, upright
from mlops_lib.errors import EvaluationError

Kind = Literal["number", "time", "text", "image", "other"]
#: Sides of the grey thumbnail whose pixels stand for an image.
THUMBNAIL = 8


def kind_of(column: pd.Series) -> Kind:
    """The kind of a column for a baseline, which cannot use ``other``, such as lists."""
    if types.is_numeric_dtype(column.dtype):
        return "number"
    if types.is_datetime64_any_dtype(column.dtype):
        return "time"
    known = column.dropna()
    if known.map(lambda value: isinstance(value, Decimal)).all():  # also of a column without a value
        return "number"
    inferred = types.infer_dtype(known)
    if inferred in ("date", "datetime"):
        return "time"
    if inferred == "bytes" and known.map(is_image_file).all():
        return "image"
    scalars = known.map(lambda value: isinstance(value, str | bool | int | float | Decimal | np.generic))
    return "text" if scalars.all() else "other"


def left_out(features: Any) -> list[str]:
    """Names of the features that no baseline can learn from."""
    table = pd.DataFrame(features)
    return [str(name) for name in table.columns if kind_of(table[name]) == "other"]


class Features:
    """The usable columns of the training rows, and the conversion of other rows to their kinds.

    Raises:
        EvaluationError: No column can be used.
    """

    def __init__(self, train_x: Any) -> None:
        table = pd.DataFrame(train_x)
        self.kinds = {name: kind for name in table.columns if (kind := kind_of(table[name])) != "other"}
        if not self.kinds:
            raise EvaluationError(f"No baseline can learn from the features {list(table.columns)}.")
        self.text = [name for name, kind in self.kinds.items() if kind == "text"]
        self.numbers = [
            name for column, kind in self.kinds.items() if kind != "text" for name in _outputs(column, kind)
        ]

    def table(self, x: Any) -> pd.DataFrame:
        """Numbers and times as float64, NaN where missing or infinite; text as text, "" where missing;
        the pixels of images.

        Raises:
            EvaluationError: A column of the training rows is missing; names it.
        """
        table = pd.DataFrame(x)
        if lacking := [str(name) for name in self.kinds if name not in table.columns]:
            raise EvaluationError(f"The features lack {', '.join(lacking)}, which the training rows have.")
        columns: dict[Any, Any] = {}
        for name, kind in self.kinds.items():
            if kind == "image":
                columns |= dict(zip(_outputs(name, kind), _pixels(table[name]), strict=True))
            else:
                columns[name] = _converted(table[name], kind)
        return pd.DataFrame(columns, index=table.index)


def _outputs(name: Any, kind: Kind) -> list[Any]:
    """The columns that a column becomes."""
    return [f"{name}: pixel {i}" for i in range(THUMBNAIL**2)] if kind == "image" else [name]


def _pixels(column: pd.Series) -> np.ndarray:
    """The grey thumbnails of images, float64 [pixels, rows]; NaN where missing."""
    made = np.full((len(column), THUMBNAIL**2), np.nan)
    for row, file in enumerate(column):
        if file is not None:
            image = (
                upright(file, at_least=4 * THUMBNAIL)
                .convert("L")
                .resize((THUMBNAIL, THUMBNAIL), reducing_gap=2)
            )
            made[row] = np.asarray(image).ravel()
    return made.T


def _converted(column: pd.Series, kind: Kind) -> pd.Series:
    if kind == "text":
        return column.astype(object).map(str).where(column.notna(), "")
    if kind == "time":
        times = pd.to_datetime(column, errors="coerce", utc=True)
        # In microseconds: nanoseconds end in the year 2262.
        since = times.dt.as_unit("us") - pd.Timestamp(0, tz="UTC").as_unit("us")
        return since / pd.Timedelta(days=1).as_unit("us")
    numbers = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return pd.Series(np.where(np.isfinite(numbers), numbers, np.nan), index=column.index)
