"""scikit-learn estimators and pipelines, and the estimator ``auto``."""

import tempfile
import warnings
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlops_lib import tracking
from mlops_lib.columns.labels import to_numbers
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.estimators.table_model import TableModel
from mlops_lib.imports import SKOPS_EXTRAS, without
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings
from mlops_lib.training.implementation import build
from mlops_lib.training.labels import training_schema
from mlops_lib.wrappers import MODEL_PATH, estimator_fit, prepared_estimator, table_package
from mlops_lib.wrappers.code.carried_code import carried_code
from mlops_lib.wrappers.code.own_code import Needs
from mlops_lib.wrappers.inputs import to_frame
from mlops_lib.wrappers.interface import ModelWrapper
from mlops_lib.wrappers.preparing import Preparation
from mlops_lib.wrappers.skops_facts import skops_facts

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import Model

#: Letters of an estimator's own error that are shown.
MAX_REASON = 500


class SklearnWrapper(ModelWrapper):
    """``auto``, an estimator named by dotted path (``sklearn.linear_model:LogisticRegression``),
    or a function of your own that returns an estimator (for example a Pipeline with preprocessing).

    Predictions are P(second class) [rows] for two classes, probabilities [rows, classes] for
    more, and values [rows] for a regressor. `classes` has their order. Of several labels they are
    [rows, labels]: P(1) or values.
    """

    name = "sklearn"
    matrix_dtype = np.float64
    has_epochs = False
    carries_prepare = True

    @classmethod
    def holds_code(cls, folder: Path, info: "Model") -> bool:
        """False for ``auto``: numbers, for code of this library."""
        return not table_package.has_encoder(folder)

    def fit(self, data_loader: BaseDataLoader, config: Settings, run_id: str) -> str:
        if output := config.evaluation.output:
            raise TrainingError(
                f"evaluation.output names {output!r}, and models of the wrapper sklearn give one output. Take it out, and "
                "evaluation.heads with it; for labels of different kinds take the wrapper lightning."
            )
        preparation = Preparation.of(data_loader, config)
        estimator = build(config, "estimator", random_state=config.train.seed)
        schema = training_schema(data_loader, config.evaluation.task)
        if hasattr(estimator, "fit_encoded"):
            if len(schema.labels) > 1:
                raise TrainingError(
                    f"model.implementation auto learns one label, and data.label names {len(schema.labels)}. Take the wrapper "
                    "lightning, or an estimator for several labels, such as sklearn.neural_network:MLPClassifier or "
                    "sklearn.linear_model:Ridge."
                )
            return self._fit_auto(estimator, data_loader, schema, config, run_id, preparation)
        return self._fit_estimator(estimator, data_loader, schema, config, run_id, preparation)

    def open(self, folder: Path) -> None:
        self.encoder = table_package.read_encoder(folder)
        self.takes_matrix = self.straight_line = self.encoder is not None
        if self.encoder:
            with np.load(folder / table_package.FOLDER / table_package.ARRAYS, allow_pickle=False) as arrays:
                self._table_model = TableModel(arrays)
            return
        import mlflow.sklearn
        import sklearn  # noqa: F401 - first: SciPy, which it imports, fails while torch is hidden

        with without(SKOPS_EXTRAS):
            import skops.io  # noqa: F401

        with carried_code(folder):
            self._estimator = mlflow.sklearn.load_model(str(folder))

    def predict(self, input_data: Any) -> np.ndarray:
        if self.encoder:
            is_matrix = isinstance(input_data, np.ndarray)
            return self._table_model.predict(input_data if is_matrix else self.matrix(input_data))
        names = list(self.columns.features) if self.columns else self.feature_names
        rows = to_frame(input_data, names, self.columns)
        if not hasattr(self._estimator, "predict_proba"):
            return self._estimator.predict(rows)
        probabilities = self._estimator.predict_proba(rows)
        if self.columns and len(self.columns.labels) > 1:
            return probabilities
        return probabilities[:, 1] if probabilities.shape[1] == 2 else probabilities

    def _fit_auto(
        self,
        estimator: Any,
        data_loader: BaseDataLoader,
        schema: Schema,
        config: Settings,
        run_id: str,
        preparation: Preparation | None,
    ) -> str:
        import mlflow

        from mlops_lib.columns.encode import encode_frame
        from mlops_lib.columns.fit import fit as fit_encoder

        encoder = fit_encoder(schema, data_loader.parts("train"))
        splits = ["train", "validation"] if config.train.refit else ["train"]
        found: dict[str, list[Any]] = {
            "matrix": [],
            "labels": [],
            "weights": [],
            "held_out": [],
            "groups": [],
        }
        for split in splits:
            for rows in data_loader.parts(split):  # type: ignore[arg-type]
                found["matrix"].append(encode_frame(encoder, rows))
                found["labels"].append(to_numbers(rows[schema.label], schema.classes, split))
                found["held_out"].append(np.full(len(rows), split == "validation"))
                if schema.weight:
                    found["weights"].append(rows[schema.weight].to_numpy(dtype=np.float64))
                if schema.key:
                    found["groups"].append(rows[schema.key].astype(str).to_numpy())
        joined = {name: np.concatenate(parts) for name, parts in found.items() if parts}
        codes = [output.codes for output in encoder.outputs]
        model, facts = estimator.fit_encoded(
            codes=codes, n_classes=len(schema.classes), in_time=config.evaluation.task == "forecast", **joined
        )
        print(_rows_of(joined["held_out"], facts))
        example = data_loader.head("train", 5)[list(schema.features)]
        with tempfile.TemporaryDirectory() as name, mlflow.start_run(run_id=run_id):
            tracking.log_choice(_learners_of(facts))
            folder = Path(name) / Path(table_package.FOLDER).name
            folder.mkdir()
            np.savez_compressed(folder / table_package.ARRAYS, **model.arrays)
            outputs = model.predict(encode_frame(encoder, example))
            return table_package.log(
                folder,
                encoder,
                example,
                outputs,
                self.metadata(config, schema),
                [table_package.numpy_version()],
                preparation=preparation,
            )

    def _fit_estimator(
        self,
        estimator: Any,
        data_loader: BaseDataLoader,
        schema: Schema,
        config: Settings,
        run_id: str,
        preparation: Preparation | None,
    ) -> str:
        import mlflow
        import mlflow.sklearn
        from mlflow.models import infer_signature

        rows = data_loader.load("train")
        estimator_fit.require_predictions(estimator, rows, schema, config)
        before = skops_facts(estimator, config.model.implementation)
        Needs(before.modules, config.root).require_portable()
        features = rows[list(schema.features)]
        more = estimator_fit.arguments(estimator, data_loader, schema, rows)
        try:
            estimator.fit(features, estimator_fit.target(rows, schema), **more)
        except (ValueError, TypeError) as error:
            reason = str(error)[:MAX_REASON]  # NumPy's message may hold a whole value, such as a file
            raise TrainingError(
                f"{config.model.implementation} cannot be fitted: {reason}{_suspects(features, schema)}"
            ) from error
        verb = "predict_proba" if hasattr(estimator, "predict_proba") else "predict"
        estimator_fit.require_columns(getattr(estimator, verb)(features.head()), schema, config)
        facts = skops_facts(estimator, config.model.implementation)
        needs = Needs({"mlflow", "skops", *facts.modules}, config.root)
        with (
            tempfile.TemporaryDirectory() as code,
            warnings.catch_warnings(),
            mlflow.start_run(run_id=run_id),
        ):
            # MLflow warns that integer columns cannot hold missing values, which is intended here.
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer column")
            tracking.log_choice([{"learner": _name_of(estimator), "train rows": len(rows)}])
            arguments = {
                "signature": infer_signature(features, getattr(estimator, verb)(features.head())),
                "input_example": features.head(),
                "pip_requirements": needs.requirements(),
                "code_paths": needs.copy_into(Path(code)) or None,
                "pyfunc_predict_fn": verb,
                "skops_trusted_types": facts.untrusted,
                "metadata": self.metadata(config, schema),
            }
            if preparation:
                return prepared_estimator.log(estimator, preparation, Path(code), arguments)
            return mlflow.sklearn.log_model(estimator, name=MODEL_PATH, **arguments).model_uri


def _learners_of(facts: dict[str, Any]) -> list[dict[str, Any]]:
    """A line for each learner of ``auto``: its weight in the sum, and the rounds of boosting."""
    lines = zip_longest(facts["weights"], facts["weights"].values(), facts["rounds"], fillvalue="")
    return [{"learner": name, "weight": weight, "rounds": rounds} for name, weight, rounds in lines]


def _rows_of(held_out: np.ndarray, facts: dict[str, Any]) -> str:
    """The rows that ``auto`` learned from, and those that its learners were chosen by."""
    total, validation, judged = len(held_out), int(held_out.sum()), facts["held_out_rows"]
    origin = (
        f"{total - validation:,} of train + {validation:,} of validation (train.refit)"
        if validation
        else "train"
    )
    how = "in turn, by cross-validation" if judged > max(validation, total / 2) else "once"
    bounds = f" To bound the work, {', '.join(facts['bounds'])}." if facts["bounds"] else ""
    return (
        f"Fitted on {total:,} rows: {origin}.{bounds} Weights and rounds were chosen by the loss of {judged:,} rows, held "
        f"out {how}: {facts['held_out_loss']:.4f}"
    )


def _name_of(estimator: Any) -> str:
    steps = [step for _, step in getattr(estimator, "steps", [])] or [estimator]
    return " -> ".join(type(step).__name__ for step in steps)


def _suspects(features: "pd.DataFrame", schema: Schema) -> str:
    """The end of an error message: columns that many estimators cannot take."""
    if images := [name for name, kind in schema.kinds.items() if kind == "image"]:
        return (
            f"\n{', '.join(images)}: images, which few estimators take. Leave them out with data.columns (drop), or train a "
            "network with model.wrapper: lightning."
        )
    text = [f"{name} holds text" for name, kind in features.dtypes.items() if kind == object]
    missing = [f"{name} has missing values" for name, some in features.isna().any().items() if some]
    if not text and not missing:
        return ""
    return (
        f"\nColumns to look at: {', '.join(text + missing)}. Set model.implementation: auto, which takes them as they are, "
        "or name a function that returns a Pipeline (with a ColumnTransformer or an imputer)."
    )
