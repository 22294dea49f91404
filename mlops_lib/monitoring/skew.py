"""Training-serving skew: compares training rows with the features that the running
service finds for their keys."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from mlops_lib.columns.dates import microseconds
from mlops_lib.columns.schema import PLAIN, Kind
from mlops_lib.columns.text import is_missing, text_of
from mlops_lib.errors import DataError, MlopsError
from mlops_lib.features import KEYS_TAG
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.tracking import read_list_tag

if TYPE_CHECKING:
    import httpx2
    import numpy as np
    import pandas as pd

TIMEOUT_S = 60.0
BATCH_ROWS = 500
EXAMPLES = 5
#: Relative difference up to which two numbers are equal: somewhat more than the precision of a float32.
TOLERANCE = 1e-6


class FeatureSkew(BaseModel):
    """One feature: number of different rows, largest difference, and the keys of the first different rows."""

    model_config = ConfigDict(frozen=True)

    feature: str
    rows: int
    different: int
    largest_difference: float
    examples: tuple[str, ...]


def check(url: str, data: BaseDataLoader, split: Split = "train", limit: int = 0) -> list[FeatureSkew]:
    """Send the keys of a split through the service at `url` and compare feature by feature.

    Args:
        url: Address of the service, http://127.0.0.1:8080.
        data: The dataset that training read; it has a key column.
        split: Split whose rows are compared.
        limit: Most rows to send; 0: all.

    Raises:
        DataError: The data has no key, or lacks a column that features are looked up by.
        MlopsError: The service refuses a row or cannot be reached; has the service's answer.
    """
    if not (key := data.schema.key):
        raise DataError("The data has no key column to look features up by. Set data.key.")
    if (keys := read_list_tag(data.tags.get(KEYS_TAG, key))) != [key]:
        raise DataError(
            f"Features are looked up by {', '.join(keys)}, but the training rows have only data.key, {key!r}."
        )
    found: dict[str, list[FeatureSkew]] = {name: [] for name in data.schema.features}
    rows = 0
    for part in data.parts(split):
        trained = part.head(limit - rows) if limit else part
        answers = _served(url, key, trained)
        for name, parts in found.items():
            kind = data.schema.features[name].kind
            parts.append(_compare(name, kind, trained[name], answers.get(name), trained[key]))
        rows += len(trained)
        if limit and rows >= limit:
            break
    return [_summed(parts) for parts in found.values()]


def _served(url: str, key: str, trained: "pd.DataFrame") -> "pd.DataFrame":
    """The features that the service at `url` finds for the rows' keys."""
    import httpx2
    import pandas as pd

    served: list[dict[str, Any]] = []
    with httpx2.Client(timeout=TIMEOUT_S) as client:
        for start in range(0, len(trained), BATCH_ROWS):
            keys = trained[key].iloc[start : start + BATCH_ROWS].tolist()
            body = {"inputs": [{key: value} for value in keys]}
            served += _post(client, f"{url.rstrip('/')}/features", body)["rows"]
    return pd.DataFrame.from_records(served, index=trained.index)


def _summed(parts: list[FeatureSkew]) -> FeatureSkew:
    """The result for one feature over all parts of the rows."""
    examples = [example for part in parts for example in part.examples]
    return FeatureSkew(
        feature=parts[0].feature,
        rows=sum(part.rows for part in parts),
        different=sum(part.different for part in parts),
        largest_difference=max(part.largest_difference for part in parts),
        examples=tuple(examples[:EXAMPLES]),
    )


def _compare(
    name: str, kind: Kind, trained: "pd.Series", served: "pd.Series | None", keys: "pd.Series"
) -> FeatureSkew:
    import numpy as np
    import pandas as pd

    if served is None:
        served = pd.Series([None] * len(trained), index=trained.index)
    both_missing = trained.isna() & served.isna()
    same, largest = _equal(kind, trained, served)
    different = ~(same | both_missing.to_numpy())
    at = np.flatnonzero(different)[:EXAMPLES]
    examples = tuple(f"{keys.iloc[i]}: {trained.iloc[i]} trained, {served.iloc[i]} served" for i in at)
    return FeatureSkew(
        feature=name,
        rows=len(trained),
        different=int(different.sum()),
        largest_difference=largest,
        examples=examples,
    )


def _equal(kind: Kind, trained: "pd.Series", served: "pd.Series") -> "tuple[np.ndarray, float]":
    """Which values are equal, and the largest difference of numbers."""
    import numpy as np

    if kind not in PLAIN:
        form: Callable[[Any], object] = _moment if kind == "datetime" else _text
        return np.array([form(a) == form(b) for a, b in zip(trained, served, strict=True)], dtype=bool), 0.0
    a, b = (np.array([_number(value) for value in column], dtype=float) for column in (trained, served))
    with np.errstate(invalid="ignore"):
        gap = np.where(a == b, 0.0, np.abs(a - b))  # infinity minus infinity is NaN
    same = np.isfinite(gap) & (gap <= TOLERANCE * np.maximum(np.abs(a), np.abs(b)))
    return same, float(np.nan_to_num(gap, nan=0.0).max(initial=0.0))


def _moment(value: Any) -> int | str | None:
    """A date or time in microseconds since 1970; the text of a value that is none."""
    try:
        return None if is_missing(value) else microseconds(value)
    except ValueError:
        return text_of(value)


def _text(value: Any) -> str | None:
    return None if is_missing(value) else text_of(value)


def _number(value: Any) -> float:
    if is_missing(value):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _post(client: "httpx2.Client", url: str, body: dict[str, Any]) -> Any:
    import httpx2

    try:
        answer = client.post(url, json=body)
    except httpx2.HTTPError as error:
        raise MlopsError(f"No service answers at {url}: {error}. Start one with: mlops serve") from None
    if answer.is_error:
        raise MlopsError(f"{url} answered {answer.status_code}: {answer.text}")
    return answer.json()
