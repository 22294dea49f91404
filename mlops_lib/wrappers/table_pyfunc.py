"""The code that a logged model of tables carries: raw rows to predictions in a process without this library.

It is copied as the ``__init__`` of a package, beside copies of the modules that it imports.
"""

import json
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np


def _load_pyfunc(path: str) -> Any:
    """What ``mlflow.pyfunc.load_model`` calls with the folder of the model's data."""
    folder = Path(path)
    file = folder / "source_rows.json"
    return Preparing(_opened(folder), file) if file.is_file() else _opened(folder)


def _opened(folder: Path) -> Any:
    if (folder / "estimator.json").is_file():
        return _estimator(folder)
    if (folder / "inputs.json").is_file():
        return _with_inputs(folder)
    encode = import_module(f"{__name__}.columns.encode")
    encoder = encode.Encoder.from_dict(json.loads((folder / "encoder.json").read_text(encoding="utf-8")))
    if (folder / "network.pt2").is_file():
        return Model(partial(encode.encode_frame, encoder), _network(folder / "network.pt2"))
    table_model = import_module(f"{__name__}.table_model")
    with np.load(folder / "model.npz", allow_pickle=False) as arrays:
        return Model(partial(encode.encode_frame, encoder), table_model.TableModel(arrays).predict)


def _network(file: Path) -> Any:
    import torch

    module = torch.export.load(str(file)).module()

    def predict(matrix: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return module(torch.from_numpy(matrix.astype(np.float32))).numpy()

    return predict


def _with_inputs(folder: Path) -> Any:
    encode, call, outputs = (
        import_module(f"{__name__}.network_inputs.{name}") for name in ("encode", "call", "outputs")
    )
    found = json.loads((folder / "inputs.json").read_text(encoding="utf-8"))
    encoder = encode.InputEncoder.from_dict(found, folder)
    network = call.load(folder, encoder.inputs)
    return Model(encoder.prepared_frame, lambda rows: outputs.by_row(call.answers(network, encoder, rows)))


def _estimator(folder: Path) -> Any:
    """An estimator that MLflow's own flavour has saved."""
    found = json.loads((folder / "estimator.json").read_text(encoding="utf-8"))
    model = import_module(found["loader_module"])._load_pyfunc(str(folder.parents[1]))
    return Model(lambda rows: rows, getattr(model, found["predict_fn"]))


class Model:
    """Encodes raw rows and predicts from the matrix."""

    def __init__(self, encode: Any, predict: Any) -> None:
        self._encode, self._predict = encode, predict

    def predict(self, rows: Any, params: Any = None) -> Any:
        """Predictions for a DataFrame with the columns of the training data; further columns are ignored."""
        return self._predict(self._encode(rows))


class Preparing:
    """Runs ``data.prepare`` on rows of the source, and predicts from what it returns."""

    def __init__(self, model: Any, file: Path) -> None:
        found = json.loads(file.read_text(encoding="utf-8"))
        self._rows = import_module(f"{__name__}.columns.source_rows").SourceRows.from_dict(found)
        module, _, function = self._rows.prepare.partition(":")
        self._model, self._prepare = model, getattr(import_module(module), function)

    def predict(self, rows: Any, params: Any = None) -> np.ndarray:
        """Predictions for a DataFrame with the columns of the source; the label is not needed."""
        return self._model.predict(self._rows.prepared(self._prepare, rows))
