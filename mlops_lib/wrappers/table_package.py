"""Log and open a model of tables as files without code that must run: numbers, a graph,
and the encoder as JSON.

For ``mlflow.pyfunc.load_model`` a package of its own lies beside them, which needs NumPy (and torch for a
network) but not this library. The platform reads the files itself and never imports that package.
"""

import hashlib
import json
import shutil
import tempfile
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import columns, estimators, network_inputs
from mlops_lib.columns.encode import Encoder
from mlops_lib.columns.json_rows import example_rows
from mlops_lib.columns.schema import Schema
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import Inputs
from mlops_lib.wrappers.load import MODEL_PATH
from mlops_lib.wrappers.preparing import FOLDER, Preparation

if TYPE_CHECKING:
    import pandas as pd
    from mlflow.models import ModelSignature

#: Files of a logged model, in `FOLDER`.
ENCODER, INPUTS, ARRAYS = "encoder.json", "inputs.json", "model.npz"
NETWORK = "network.pt2"


def log(
    folder: Path,
    encoder: Encoder | InputEncoder,
    example: "pd.DataFrame",
    outputs: Any,
    metadata: dict[str, Any],
    requirements: Sequence[str],
    code: Sequence[str] = (),
    preparation: Preparation | None = None,
) -> str:
    """Log the model in `folder` to MLflow's current run, with the encoder and the code for pyfunc;
    return its URI.

    Args:
        folder: Called ``table``; holds ``model.npz`` or ``network.pt2``.
        encoder: Turns raw rows into the model's matrix, or into its inputs by name.
        example: Raw rows; logged as the model's input example.
        outputs: Their predictions.
        metadata: Metadata of the model.
        requirements: Packages that prediction needs, beside MLflow.
        code: Files and folders of the user's own code that it needs.
        preparation: Makes the raw rows of rows of the source; None: they are the same.
    """
    import mlflow
    from mlflow.models import Model

    name = INPUTS if isinstance(encoder, InputEncoder) else ENCODER
    (folder / name).write_text(json.dumps(encoder.to_dict(), ensure_ascii=False), encoding="utf-8")
    schema, rows = encoder.schema, example_rows(example, encoder.schema)
    with (
        tempfile.TemporaryDirectory() as own,
        tempfile.TemporaryDirectory() as modules,
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", ".*(type hints|AnyType)", UserWarning)
        package = pyfunc_package(Path(own))
        if preparation:
            preparation.write(folder)
            schema, rows = preparation.rows.schema, list(map(dict, preparation.rows.example))
            code = preparation.copy_code(Path(modules), code)
            metadata = metadata | preparation.metadata
            requirements = sorted({*requirements, *preparation.needs.requirements()})
        info = Model.log(
            None,
            _Unasked,
            name=MODEL_PATH,
            flavor_name="pyfunc",
            validate_serving_input=False,
            loader_module=package.name,
            data_path=str(folder),
            code_paths=[str(package), *code],
            signature=signature_of(schema, outputs),
            input_example=rows,
            pip_requirements=[f"mlflow=={mlflow.__version__}", *requirements],
            metadata=metadata,
        )
    return info.model_uri


def signature_of(schema: Schema, outputs: Any) -> "ModelSignature":
    """A signature of columns whose values MLflow does not check, since an encoder does.

    MLflow's types refuse what pandas makes of a CSV: 3.0 for an integer, a date as text.
    """
    from mlflow.models import ModelSignature, infer_signature
    from mlflow.types import ColSpec
    from mlflow.types import Schema as Columns
    from mlflow.types.schema import AnyType

    inputs = Columns([ColSpec(AnyType(), name, required=False) for name in schema.features])
    return ModelSignature(inputs, infer_signature(model_output=outputs).outputs)


class _Unasked:
    """MLflow's pyfunc flavour for a model that need not answer its example when it is logged.

    For that, MLflow would load the network a second time, and the package's code
    into the process of the training.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **arguments: Any) -> None:
        """Save the model. `validate_serving_input` is for `Model.log` alone."""
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(**arguments)


def read_encoder(folder: Path) -> Encoder | None:
    """The encoder of a logged model, also of the columns of inputs by name; None for a model without one."""
    file = folder / FOLDER / ENCODER
    inputs = file.with_name(INPUTS)
    if inputs.is_file():
        return Encoder.from_dict(json.loads(inputs.read_text(encoding="utf-8"))["encoder"])
    return Encoder.from_dict(json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def read_inputs(folder: Path) -> InputEncoder | None:
    """The encoder of a logged network with inputs by name; None for any other model."""
    file = folder / FOLDER / INPUTS
    if not file.is_file():
        return None
    return InputEncoder.from_dict(json.loads(file.read_text(encoding="utf-8")), file.parent)


def described_inputs(folder: Path) -> Inputs | None:
    """The inputs of a logged network with inputs by name; their code is not imported.
    None for any other model."""
    file = folder / FOLDER / INPUTS
    return Inputs.from_dict(json.loads(file.read_text("utf-8"))["inputs"]) if file.is_file() else None


def inputs_hold_code(folder: Path) -> bool:
    """Whether a logged network with inputs by name needs code, which is not imported."""
    inputs = described_inputs(folder)
    return inputs is not None and inputs.holds_code


def has_encoder(folder: Path) -> bool:
    """Whether a logged model is of this form."""
    return any((folder / FOLDER / name).is_file() for name in (ENCODER, INPUTS))


def numpy_version() -> str:
    """The requirement of models that need NumPy."""
    return f"numpy=={version('numpy')}"


def pyfunc_package(folder: Path) -> Path:
    """A package with the code for pyfunc; its name has a digest,
    so that two versions of it can be imported."""
    target = folder / "package"
    for package in (columns, network_inputs):
        source = Path(str(package.__file__)).parent
        (target / source.name).mkdir(parents=True)
        for module in package.PORTABLE:
            shutil.copyfile(source / f"{module}.py", target / source.name / f"{module}.py")
    shutil.copyfile(Path(estimators.__file__).with_name("table_model.py"), target / "table_model.py")
    shutil.copyfile(Path(__file__).with_name("table_pyfunc.py"), target / "__init__.py")
    digest = hashlib.sha256()
    for file in sorted(target.rglob("*.py")):
        digest.update(file.read_bytes())
    return target.rename(folder / f"mlops_table_model_{digest.hexdigest()[:12]}")
