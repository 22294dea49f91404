"""scikit-learn estimators and pipelines."""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib.errors import TrainingError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.training.implementation import build
from mlops_lib.wrappers import MODEL_PATH
from mlops_lib.wrappers.inputs import to_frame
from mlops_lib.wrappers.interface import CLASSES_KEY, ModelWrapper

if TYPE_CHECKING:
    import pandas as pd


class SklearnWrapper(ModelWrapper):
    """An estimator named by dotted path: ``sklearn.linear_model:LogisticRegression``, or a function of your
    own that returns an estimator (for example a Pipeline with preprocessing).

    Predictions are P(second class) [rows] for two classes, probabilities [rows, classes] for more, and values
    [rows] for a regressor. `classes` has their order.
    """

    name = "sklearn"
    has_epochs = False

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        import mlflow
        import mlflow.sklearn
        import sklearn
        from mlflow.models import infer_signature

        estimator = build(config, "estimator", random_state=config.train.seed)
        rows = data_loader.load("train")
        features, label = rows[list(data_loader.schema.features)], rows[data_loader.schema.label]
        if config.evaluation.task == "classification":
            _require_classes(label)
        try:
            estimator.fit(features, label)
        except (ValueError, TypeError) as error:
            raise TrainingError(
                f"{config.model.implementation} cannot be fitted: {error}{_suspects(features)}"
            ) from error
        named = {CLASSES_KEY: estimator.classes_.tolist()} if hasattr(estimator, "classes_") else {}
        verb = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
        with warnings.catch_warnings(), mlflow.start_run(run_id=run_id):
            # MLflow warns that integer columns cannot hold missing values, which is intended here.
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column")
            info = mlflow.sklearn.log_model(
                estimator,
                name=MODEL_PATH,
                signature=infer_signature(features, getattr(estimator, verb)(features.head())),
                input_example=features.head(),
                pip_requirements=[f"scikit-learn=={sklearn.__version__}", f"mlflow=={mlflow.__version__}"],
                pyfunc_predict_fn=verb,
                skops_trusted_types=_types_in(estimator),
                metadata=self.metadata(config) | named,
            )
        return info.model_uri

    def open(self, folder: Path) -> None:
        import mlflow.sklearn

        self._estimator = mlflow.sklearn.load_model(str(folder))

    def predict(self, input_data: Any) -> np.ndarray:
        rows = to_frame(input_data, self.feature_names)
        if not hasattr(self._estimator, "predict_proba"):
            return self._estimator.predict(rows)
        probabilities = self._estimator.predict_proba(rows)
        return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities


def _require_classes(label: "pd.Series") -> None:
    """Refuse a label of fractions before the fit; a classifier's metrics would refuse it after."""
    if label.dtype.kind == "f" and not (fractions := label[label % 1 != 0]).empty:
        raise TrainingError(
            f"Column {label.name!r} is no class label: it has {label.nunique()} values, one of them {fractions.iloc[0]}. "
            "Set evaluation.task: regression (with a metric and a threshold for it), or make classes in data.prepare."
        )


def _suspects(features: "pd.DataFrame") -> str:
    """The end of an error message: columns that many estimators cannot take."""
    text = [f"{name} holds text" for name, kind in features.dtypes.items() if kind == object]
    missing = [f"{name} has missing values" for name, some in features.isna().any().items() if some]
    if not text and not missing:
        return ""
    return (
        f"\nColumns to look at: {', '.join(text + missing)}. Treat them in data.prepare, or name a function that "
        "returns a Pipeline (with a ColumnTransformer or an imputer) as model.implementation."
    )


def _types_in(estimator: Any) -> list[str]:
    """Types that skops must be told to trust. They are trusted because config.yaml names the estimator."""
    import skops.io

    return skops.io.get_untrusted_types(data=skops.io.dumps(estimator))
