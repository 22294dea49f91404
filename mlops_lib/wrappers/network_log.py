"""Log and open a network that takes inputs by name."""

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.wrappers import table_package
from mlops_lib.wrappers.frozen import freeze
from mlops_lib.wrappers.network_call import (
    NetworkCall,
    answers,
    call_in_double,
    depends_on_padding,
    exported,
    require_answer,
)

if TYPE_CHECKING:
    import pandas as pd

#: Rows that tell whether the network's answers depend on padding.
SAMPLE_ROWS = 64


def require_loggable(module: torch.nn.Module, encoder: InputEncoder, features: "pd.DataFrame") -> None:
    """Check that an untrained network takes its inputs and can be exported.

    Raises:
        TrainingError: It does not, or cannot.
    """
    call = NetworkCall(module.eval(), encoder.inputs)
    example = encoder.prepared_frame(features)
    require_answer(call, encoder, example)
    exported(call, encoder, example)


def log(
    module: torch.nn.Module,
    encoder: InputEncoder,
    features: "pd.DataFrame",
    sample: "pd.DataFrame",
    run_id: str,
    metadata: dict[str, Any],
) -> str:
    """Log a trained network to a run, with the encoder of its inputs; return its URI.

    Args:
        module: The network.
        encoder: Of its inputs.
        features: Rows for the model's example.
        sample: Rows that show whether its answers depend on padding.
        run_id: The run.
        metadata: Of the model.
    """
    import mlflow

    example, sample_rows = encoder.prepared_frame(features), encoder.prepared_frame(sample)
    call = call_in_double(module, encoder, example)
    if depends_on_padding(call, encoder, sample_rows):
        print(
            "The network's answer for a row depends on the padding of its sequences: predictions are made of rows of one "
            "length at a time, without padding.",
            flush=True,
        )
        encoder = InputEncoder(replace(encoder.inputs, by_length=True), encoder.encoder, encoder.schema)
    outputs = answers(call, encoder, example, len(features))
    with tempfile.TemporaryDirectory() as name, mlflow.start_run(run_id=run_id):
        folder = Path(name) / Path(table_package.FOLDER).name
        folder.mkdir()
        torch.export.save(exported(call, encoder, example), folder / table_package.NETWORK)
        needed = [table_package.numpy_version(), f"torch=={torch.__version__.split('+')[0]}"]
        return table_package.log(folder, encoder, features, outputs, metadata, needed)


def open_network(folder: Path, encoder: InputEncoder) -> Any:
    """The network of a logged model, as a function of its tensors in order."""
    module = torch.export.load(str(folder / table_package.NETWORK)).module()
    specs = encoder.inputs.specs
    if any(spec.is_free for spec in specs):
        return module
    # Valid for every input: the code of an unknown category, or the number one.
    example = [np.ones((5, *(size or 0 for size in spec.shape)), dtype=spec.dtype) for spec in specs]
    return freeze(module, *map(torch.from_numpy, example))
