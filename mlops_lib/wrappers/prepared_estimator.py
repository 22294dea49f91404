"""Log an estimator with ``data.prepare``: MLflow's own files,
and a pyfunc that prepares rows of the source first."""

import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_lib.wrappers import MODEL_PATH
from mlops_lib.wrappers.preparing import FOLDER, Preparation
from mlops_lib.wrappers.table_package import pyfunc_package, signature_of


def log(estimator: Any, preparation: Preparation, code: Path, arguments: Mapping[str, Any]) -> str:
    """Log a fitted estimator to MLflow's current run; return its URI.

    Args:
        estimator: Takes the prepared rows.
        preparation: Makes them.
        code: Folder with the estimator's own modules; those of ``data.prepare`` are added.
        arguments: Of `mlflow.sklearn.save_model`, for the prepared rows.
    """
    from mlflow.models import Model

    outputs = getattr(estimator, arguments["pyfunc_predict_fn"])(arguments["input_example"])
    with tempfile.TemporaryDirectory() as own:
        package = pyfunc_package(Path(own))
        others = preparation.copy_code(code)
        changed = {
            "signature": signature_of(preparation.rows.schema, outputs),
            "input_example": list(preparation.rows.example),
            "pip_requirements": sorted({*arguments["pip_requirements"], *preparation.needs.requirements()}),
            "code_paths": [str(package), *others],
            "metadata": arguments["metadata"] | preparation.metadata,
        }
        info = Model.log(
            None,
            _Flavour(preparation, package.name),
            name=MODEL_PATH,
            flavor_name="sklearn",
            validate_serving_input=False,
            sk_model=estimator,
            **{**arguments, **changed},
        )
    return info.model_uri


class _Flavour:
    """MLflow's flavour of scikit-learn, with another pyfunc."""

    def __init__(self, preparation: Preparation, package: str) -> None:
        self._preparation, self._package = preparation, package

    def save_model(
        self, *, path: str, mlflow_model: Any, validate_serving_input: bool, **arguments: Any
    ) -> None:
        """Save the model. `validate_serving_input` is for `Model.log` alone."""
        import mlflow.sklearn
        from mlflow.models.model import MLMODEL_FILE_NAME

        mlflow.sklearn.save_model(path=path, mlflow_model=mlflow_model, **arguments)
        folder = Path(path) / FOLDER
        folder.mkdir(parents=True)
        pyfunc = mlflow_model.flavors["python_function"]
        inner = {"loader_module": pyfunc["loader_module"], "predict_fn": pyfunc.pop("predict_fn")}
        (folder / "estimator.json").write_text(json.dumps(inner), encoding="utf-8")
        self._preparation.write(folder)
        pyfunc |= {"loader_module": self._package, "data": FOLDER}
        mlflow_model.save(str(Path(path) / MLMODEL_FILE_NAME))
