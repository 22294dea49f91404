"""Truth and forecasts of the rows of series, checked, in the form that metrics and figures take."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
import pandas as pd

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import inputs


class ForecastCases(NamedTuple):
    """N rows of series. Numbers are in the unit of the label, float64.

    Attributes:
        truth, predicted: [N]; of a model that gives quantiles, `predicted` is the median.
        weights: Of the rows, [N]; None: all count the same.
        quantiles: Levels of the forecast quantiles, ascending; empty: the model gives one number.
        bands: Forecast quantiles, [N, quantiles]; None: the model gives one number.
        series: Number of each row's series, int [N].
        names: Key of each series.
        times: Time of each row as text, [N]; empty: not known.
        horizon: Steps after the last known time, [N]; empty: not known.
        scale: Mean absolute change of the row's series in the train split, [N]; NaN where it has none.
    """

    truth: np.ndarray
    predicted: np.ndarray
    weights: np.ndarray | None
    quantiles: tuple[float, ...]
    bands: np.ndarray | None
    series: np.ndarray
    names: Sequence[str]
    times: np.ndarray
    horizon: np.ndarray
    scale: np.ndarray

    @classmethod
    def read(
        cls,
        y_true: Any,
        y_pred: Any,
        facts: Mapping[str, Any],
        quantiles: tuple[float, ...] = (),
        weights: Any = None,
    ) -> Self:
        """Check truth and forecasts.

        Args:
            y_true: N numbers.
            y_pred: N numbers, or [N, quantiles].
            facts: As of `history.facts`; none of them must be known.
            quantiles: Levels of the columns of `y_pred`; 0.5 is one of them.
            weights: Of the N rows.

        Raises:
            EvaluationError: A number is missing, or `y_pred` has another number of
                columns than there are quantiles.
        """
        truth, predicted = inputs.numbers(y_true, "y_true"), inputs.numbers(y_pred, "y_pred", ndim=(1, 2))
        inputs.same_length(truth, predicted)
        bands = None
        if predicted.ndim == 2:
            if predicted.shape[1] != len(quantiles):
                raise EvaluationError(
                    f"y_pred has {predicted.shape[1]} columns, and evaluation.quantiles names {len(quantiles)}. Name the "
                    "quantile of each column, such as [0.1, 0.5, 0.9], or predict one number for each row."
                )
            bands, predicted = predicted, predicted[:, quantiles.index(0.5)]
        series, names = pd.factorize(np.asarray(facts.get("key", [""] * len(truth)), dtype=object))
        return cls(
            truth,
            predicted,
            None if weights is None else inputs.weights(weights, len(truth)),
            quantiles if bands is not None else (),
            bands,
            series,
            names.tolist(),
            np.asarray(facts.get("time", ()), dtype=object),
            np.asarray(facts.get("horizon", ())),
            np.asarray(facts.get("scale", np.full(len(truth), np.nan)), dtype=float),
        )

    def take(self, rows: np.ndarray) -> Self:
        """The rows at these positions, int [M]; a position may come several times."""
        names = ("truth", "predicted", "weights", "bands", "series", "times", "horizon", "scale")
        found = {name: getattr(self, name) for name in names}
        return self._replace(**{n: v if v is None or not len(v) else v[rows] for n, v in found.items()})

    def changed(self, other: "ForecastCases", metric: str) -> np.ndarray:
        """The rows with another forecast, bool [N]."""
        if self.bands is None or other.bands is None:
            return self.predicted != other.predicted
        return np.any(self.bands != other.bands, axis=1)
