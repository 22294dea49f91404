"""What the fit of a user's estimator is given, beside features and label: weights and the validation rows."""

import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    import pandas as pd


def require_predictions(estimator: Any, rows: "pd.DataFrame", schema: Schema, config: Settings) -> None:
    """Refuse an estimator whose predictions the task cannot score, before the fit.

    Args:
        estimator: The user's.
        rows: The train split.

    Raises:
        TrainingError: A classification without ``predict_proba``, which most metrics and the gate need;
            or probabilities of more than two classes, where the task takes one number for each row.
    """
    task, name = config.evaluation.task, config.model.implementation
    if not hasattr(estimator, "predict_proba"):
        if task in ("classification", "multilabel"):
            raise TrainingError(
                f"{name} gives no probabilities (it has no predict_proba), which a classification is "
                "scored by. Return sklearn.calibration.CalibratedClassifierCV(estimator) from a function of your own, set "
                "probability=True where the estimator has it, or take model.implementation: auto."
            )
    elif task in ("ranking", "regression", "forecast") and (values := rows[schema.label].nunique()) > 2:
        raise TrainingError(
            f"{name} is a classifier: it gives a probability for each of the {values} values of {schema.label!r}, and "
            f"evaluation.task {task} takes one number for each row. Take a regressor, such as "
            "sklearn.ensemble:HistGradientBoostingRegressor, or model.implementation: auto."
        )


def target(rows: "pd.DataFrame", schema: Schema) -> Any:
    """What an estimator learns: the label, or [rows, labels] of several."""
    if len(schema.labels) == 1:
        return rows[schema.label]
    labels = rows[list(schema.labels)].to_numpy(dtype=np.float64)
    return labels.astype(int) if np.isin(labels, (0, 1)).all() else labels


def require_columns(predictions: Any, schema: Schema, config: Settings) -> None:
    """Refuse an estimator that does not predict a column for each of several labels.

    Raises:
        TrainingError: It gives another form, such as a list with the probabilities
            of both classes of each label.
    """
    labels = len(schema.labels)
    if labels > 1 and np.shape(predictions)[1:] != (labels,):
        raise TrainingError(
            f"{config.model.implementation} does not predict one column for each of the {labels} labels. Take one that "
            "does, such as sklearn.neural_network:MLPClassifier, or return sklearn.multiclass.OneVsRestClassifier(estimator) "
            "from a function of your own."
        )


def arguments(
    estimator: Any, data_loader: BaseDataLoader, schema: Schema, rows: "pd.DataFrame"
) -> dict[str, Any]:
    """Keyword arguments of ``estimator.fit``.

    Raises:
        TrainingError: The rows have weights, and the estimator takes none.
    """
    accepted = inspect.signature(estimator.fit).parameters
    found: dict[str, Any] = {}
    if schema.weight:
        found[_weight_argument(estimator, accepted)] = rows[schema.weight].to_numpy()
    stops_early = getattr(estimator, "early_stopping", False)
    if "X_val" in accepted and stops_early is True:  # scikit-learn's histogram gradient boosting
        held = data_loader.load("validation")
        found |= {"X_val": held[list(schema.features)], "y_val": target(held, schema)}
        if schema.weight:
            found["sample_weight_val"] = held[schema.weight].to_numpy()
    elif "eval_set" in accepted:  # XGBoost, LightGBM, CatBoost
        held = data_loader.load("validation")
        found["eval_set"] = [(held[list(schema.features)], target(held, schema))]
        if "verbose" in accepted:
            found["verbose"] = False
    return found


def _weight_argument(estimator: Any, accepted: Any) -> str:
    if "sample_weight" in accepted:
        return "sample_weight"
    if steps := getattr(estimator, "steps", None):
        name, last = steps[-1]
        if "sample_weight" in inspect.signature(last.fit).parameters:
            return f"{name}__sample_weight"
    raise TrainingError(
        f"data.weight is set, but {type(estimator).__name__}.fit takes no sample_weight. Take another estimator, or remove "
        "data.weight."
    )
