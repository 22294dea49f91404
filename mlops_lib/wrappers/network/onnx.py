"""A logged network as an ONNX file, compared with the network by onnxruntime."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mlops_lib.errors import ModelError
from mlops_lib.network_inputs.call import tensors_of
from mlops_lib.network_inputs.outputs import arrays
from mlops_lib.wrappers import table_package
from mlops_lib.wrappers.inputs import prepared
from mlops_lib.wrappers.lightning import PytorchLightningWrapper
from mlops_lib.wrappers.network.call import CHECKED, cut, of_unlike_sizes
from mlops_lib.wrappers.network.recurrent import any_length

#: Largest difference from the network's answer, as a share of the answer where that is above 1.
TOLERANCE = 1e-5
#: Key of the file's metadata: how columns become the tensors, as JSON.
ENCODER_KEY = "mlops.encoder"


class Exported(NamedTuple):
    """A written file: its tensors as text, the largest difference from the network, and the rows compared."""

    inputs: list[str]
    outputs: list[str]
    difference: float
    rows: int


def export(model: PytorchLightningWrapper, file: Path) -> Exported:
    """Write a loaded network as an ONNX file of float32, for any number of rows and
    any length of its sequences.

    Raises:
        ModelError: A package is missing, or the network cannot be exported, or answers otherwise in ONNX.
            No file is left, and an earlier one stays.
    """
    graph = _graph_file(model)
    batches = list(_batches(model, model.example() or []))
    network = torch.export.load(str(graph)).module()
    with torch.inference_mode():
        wanted = [
            {name or "predictions": one for name, one in arrays(network(*batch)).items()} for batch in batches
        ]
    names = model.inputs.inputs.names if model.inputs else ["x"]
    with tempfile.TemporaryDirectory() as name:  # an earlier export stays if this one fails
        made = Path(name) / file.name
        session = _written(graph, model, batches[0], names, list(wanted[0]), made)
        differences = [
            _difference(expected, session, dict(zip(names, batch, strict=True)))
            for batch, expected in zip(batches, wanted, strict=True)
        ]
        if (largest := max(differences)) > TOLERANCE:
            raise ModelError(
                f"The ONNX file's answers differ from the network's by up to {largest:.2g}, and {TOLERANCE:g} is allowed. "
                "No file was written."
            )
        file.parent.mkdir(parents=True, exist_ok=True)
        for one in made.parent.iterdir():  # large weights are a file of their own
            shutil.move(one, file.with_name(one.name))
    return Exported(
        [f"{one.name} {one.type} {one.shape}" for one in session.get_inputs()],
        [f"{one.name} {one.type} {one.shape}" for one in session.get_outputs()],
        largest,
        sum(len(batch[0]) for batch in batches),
    )


def _written(
    graph: Path,
    model: PytorchLightningWrapper,
    given: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    file: Path,
) -> Any:
    """Write the file, with the encoder of the columns in its metadata, and open it with onnxruntime."""
    try:
        import onnxruntime
        import onnxscript  # noqa: F401 - torch's exporter is written in it
    except ImportError as error:
        raise ModelError(
            f"ONNX needs a package that is not installed ({error}): pip install 'mlops-lib[onnx]'"
        ) from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("torch.onnx").setLevel(logging.ERROR)
            program: Any = torch.onnx.export(
                _in_single(graph, model, given),
                input_names=names,
                output_names=outputs,
                dynamo=True,
                verbose=False,
            )
            for name in (table_package.INPUTS, table_package.ENCODER):
                if (described := graph.with_name(name)).is_file():
                    program.model.metadata_props[ENCODER_KEY] = described.read_text("utf-8")
            program.save(file)
        return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # an operator that ONNX or onnxruntime lacks
        raise ModelError(
            f"{graph.name} cannot be exported as ONNX: {str(error).strip().splitlines()[0]}"
        ) from error


def _graph_file(model: PytorchLightningWrapper) -> Path:
    """The graph of a logged network.

    Raises:
        ModelError: The network is TorchScript or pickled, or its inputs are made by code.
    """
    if model.inputs and (model.inputs.inputs.collate or model.inputs.inputs.format != "export"):
        how = model.inputs.inputs.collate or f"model.format: {model.inputs.inputs.format}"
        raise ModelError(
            f"The network has {how}. Only a graph of torch.export can become ONNX: train it without."
        )
    own = model.folder / table_package.FOLDER / table_package.NETWORK
    return own if own.is_file() else model.folder / "data" / "model.pt2"


def _batches(model: PytorchLightningWrapper, rows: Any) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of the model's example rows in batches of several sizes;
    the first has unlike sizes throughout."""
    if not model.inputs:
        x = torch.from_numpy(model.matrix(rows))
        yield (x,)
        for count, _ in CHECKED:
            yield (x[torch.arange(count) % len(x)],)
        return
    example = prepared(model.inputs, rows)
    yield tuple(of_unlike_sizes(model.inputs, example))
    for count, most in CHECKED:
        chosen = np.arange(count) % len(rows)
        yield tensors_of(model.inputs, [cut(one[chosen], most) for one in example])


def _in_single(graph: Path, model: PytorchLightningWrapper, given: tuple[Tensor, ...]) -> Any:
    """The graph with float32 weights: onnxruntime lacks float64 for many operators."""
    module: Any = torch.export.load(str(graph)).module()
    for node in module.graph.nodes:
        node.args = tuple(torch.float32 if one is torch.float64 else one for one in node.args)
        node.kwargs = {
            key: torch.float32 if one is torch.float64 else one for key, one in node.kwargs.items()
        }
    for name, one in list(vars(module).items()):  # constants that are no buffers
        if isinstance(one, Tensor) and one.dtype == torch.float64:
            setattr(module, name, one.float())
    module.float().recompile()
    specs = model.inputs.inputs.specs if model.inputs else ()
    shapes = [spec.shape for spec in specs] or [given[0].shape[1:]]
    auto = torch.export.Dim.AUTO
    sizes = [{0: auto, **{at: auto for at, one in enumerate(shape, 1) if one is None}} for shape in shapes]
    with any_length():
        return torch.export.export(module, given, dynamic_shapes=tuple(sizes))


def _difference(wanted: Mapping[str, np.ndarray], session: Any, given: Mapping[str, Tensor]) -> float:
    """The largest difference from the wanted answers, as a share of an answer where that is above 1.

    Raises:
        ModelError: onnxruntime refuses tensors of these sizes, or gives another shape.
    """
    largest = 0.0
    try:
        found = session.run(list(wanted), {name: one.numpy() for name, one in given.items()})
        for expected, other in zip(wanted.values(), found, strict=True):
            numbers = expected.astype(np.float64)
            if numbers.shape != other.shape:
                raise ValueError(f"It gives the shape {list(other.shape)} for {list(numbers.shape)}.")
            gaps = np.abs(numbers - other) / np.maximum(np.abs(numbers), 1.0)
            gaps[np.isnan(numbers) & np.isnan(other)] = 0.0
            largest = max(largest, float(np.nan_to_num(gaps, nan=np.inf).max(initial=0.0)))
    except Exception as error:
        shapes = ", ".join(f"{name} {list(one.shape)}" for name, one in given.items())
        raise ModelError(
            f"The ONNX file does not answer as the network for {shapes}: {str(error).strip().splitlines()[0]} No file was "
            "written."
        ) from error
    return largest
