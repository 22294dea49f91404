"""The code that a logged model of tables carries: raw rows to predictions in a process without this library.

It is copied as the ``__init__`` of a package, beside copies of the modules that it imports.
"""

import json
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

#: Rows that go through a network at once.
BATCH_ROWS = 1_024


def _load_pyfunc(path: str) -> Any:
    """What ``mlflow.pyfunc.load_model`` calls with the folder of the model's data."""
    folder = Path(path)
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
    import torch

    encode = import_module(f"{__name__}.network_inputs.encode")
    encoder = encode.InputEncoder.from_dict(json.loads((folder / "inputs.json").read_text(encoding="utf-8")))
    module = torch.export.load(str(folder / "network.pt2")).module()

    def predict(prepared: list[np.ndarray]) -> np.ndarray:
        made: np.ndarray | None = None
        for chosen in encoder.parts(prepared, BATCH_ROWS):
            batch = encoder.padded([one[chosen] for one in prepared])
            with torch.inference_mode():
                answers = module(*map(torch.from_numpy, batch.values())).numpy()
            if made is None:
                made = np.empty((len(prepared[0]), *answers.shape[1:]), dtype=answers.dtype)
            made[chosen] = answers
        return np.empty(0) if made is None else made

    return Model(encoder.prepared_frame, predict)


class Model:
    """Encodes raw rows and predicts from the matrix."""

    def __init__(self, encode: Any, predict: Any) -> None:
        self._encode, self._predict = encode, predict

    def predict(self, rows: Any, params: Any = None) -> np.ndarray:
        """Predictions for a DataFrame with the columns of the training data; further columns are ignored."""
        return self._predict(self._encode(rows))
