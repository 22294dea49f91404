"""Forecast: a number for each row of a series in time, learned from earlier rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import history
from mlops_lib.evaluation.forecast_cases import ForecastCases
from mlops_lib.evaluation.tasks.arrays import ArrayTask

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from mlops_lib.settings import Settings

MAX_SERIES = 20


class Forecast(ArrayTask):
    """y_true: numbers [N]. y_pred: [N], or [N, quantiles] in the order of ``evaluation.quantiles``.

    The series of a row is its key. Without one, all rows are of one series.
    """

    name: ClassVar[str] = "forecast"

    @classmethod
    def facts_of(cls, data_loader: Any, split: str, settings: "Settings") -> dict[str, Any]:
        """See `history.facts`: what is known before the first row of the split.

        Raises:
            EvaluationError: The data has no time.
        """
        schema = data_loader.schema
        if not schema.time:
            raise EvaluationError(
                "evaluation.task forecast needs the time of each row. Set data.split: {by: time, column: NAME}."
            )
        rows, *before = (
            history.Rows.joined([history.Rows.of(part, schema) for part in data_loader.parts(name)])
            for name in (split, *history.BEFORE[split])
        )
        train = before[0] if before else rows
        return history.facts(rows, train, history.Rows.joined(before), settings.evaluation.seasonality)

    def read(self, y_true: Any, y_pred: Any) -> ForecastCases:
        quantiles = self.settings.evaluation.quantiles if self.settings else ()
        return ForecastCases.read(y_true, y_pred, self.facts, quantiles, self.weights)

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """A table of the series with the largest errors, one of the quantiles,
        and notes about rows without a scale."""
        cases = self.read(y_true, y_pred)
        notes = {}
        unscaled = int((~(cases.scale > 0)).sum())
        if "mase" in self.metrics and 0 < unscaled < len(cases.truth):
            notes["mase"] = (
                f"{unscaled} of {len(cases.truth)} rows are left out: their series has no change over a season in the "
                "train split"
            )
        tables = {f"Series with the largest errors, {MAX_SERIES} at most": _series(cases)}
        if cases.bands is not None:
            tables["Quantiles"] = _quantiles(cases)
            if crossing := int((np.diff(cases.bands, axis=1) < 0).any(axis=1).sum()):
                notes["quantiles"] = (
                    f"a higher quantile is below a lower one in {crossing} of {len(cases.truth)} rows"
                )
        return {"tables": tables, "notes": notes}

    def figures(self, y_true: Any, y_pred: Any, baselines: Mapping[str, np.ndarray]) -> "dict[str, Figure]":
        """Draw ``series``: true values and forecasts over time; ``horizon``: the error by steps ahead."""
        from mlops_lib.evaluation.figures import forecast as draw

        cases = self.read(y_true, y_pred)
        others = {name: self.read(y_true, predicted) for name, predicted in baselines.items()}
        if not len(cases.times):
            return {}
        return {"series": draw.series(cases), "horizon": draw.horizon(cases, others)}


def _series(cases: ForecastCases) -> Any:
    import pandas as pd

    rows = pd.DataFrame(
        {
            "series": np.asarray(cases.names, dtype=object)[cases.series],
            "true": cases.truth,
            "forecast": cases.predicted,
            "error": np.abs(cases.truth - cases.predicted),
            "scaled": np.where(cases.scale > 0, np.abs(cases.truth - cases.predicted) / cases.scale, np.nan),
        }
    )
    names = {"true": "mean true", "forecast": "mean forecast", "error": "mae", "scaled": "mase"}
    weights = pd.Series(1.0 if cases.weights is None else cases.weights, index=rows.index)
    sums = rows[[*names]].mul(weights, axis=0).groupby(rows["series"], sort=False).sum(min_count=1)
    means = sums.div(weights.groupby(rows["series"], sort=False).sum(), axis=0).rename(columns=names)
    table = pd.concat([rows.groupby("series", sort=False).size().rename("rows"), means], axis=1)
    return table.sort_values("mae", ascending=False, kind="stable").head(MAX_SERIES).reset_index()


def _quantiles(cases: ForecastCases) -> Any:
    import pandas as pd
    from sklearn.metrics import mean_pinball_loss

    lines = []
    for place, level in enumerate(cases.quantiles):
        own = cases.bands[:, place]  # type: ignore[index]
        lines.append(
            {
                "quantile": level,
                "true values at or below it": float(np.average(cases.truth <= own, weights=cases.weights)),
                "pinball": mean_pinball_loss(cases.truth, own, alpha=level, sample_weight=cases.weights),
            }
        )
    return pd.DataFrame(lines)
