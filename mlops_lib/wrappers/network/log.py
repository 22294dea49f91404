"""Log and open a network that takes inputs by name."""

import pickle
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.call import FILES, NetworkCall, answers, load, tensors_of
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.outputs import by_row, specs_of
from mlops_lib.settings import Settings
from mlops_lib.training.heads import Head
from mlops_lib.wrappers import table_package
from mlops_lib.wrappers.code.own_code import Needs
from mlops_lib.wrappers.interface import INPUTS_KEY, OUTPUTS_KEY
from mlops_lib.wrappers.network.call import (
    call_in_double,
    depends_on_padding,
    exported,
    require_answer,
    scripted,
)
from mlops_lib.wrappers.network.frozen import freeze
from mlops_lib.wrappers.network.probabilities import require_judgeable, require_repeatable
from mlops_lib.wrappers.network.row_wise import require_row_wise
from mlops_lib.wrappers.preparing import Preparation

if TYPE_CHECKING:
    import pandas as pd

#: Tag of a run: how its network is logged.
FORMAT_TAG = "mlops.model_format"


def require_loggable(
    module: torch.nn.Module,
    encoder: InputEncoder,
    features: "pd.DataFrame",
    config: Settings,
    judged: Iterable[Head],
) -> None:
    """Check that an untrained network takes its inputs, has the judged outputs and can be logged in the chosen format.

    Raises:
        TrainingError: It does not, or cannot.
    """
    call = NetworkCall(module.eval(), encoder.inputs)
    example = encoder.prepared_frame(features)
    require_output(require_answer(call, encoder, example), config)
    answer = answers(call, encoder, example)
    require_judgeable(type(module).__name__, answer, judged)
    require_repeatable(type(module).__name__, answer, answers(call, encoder, example))
    require_row_wise(type(module).__name__, call, tensors_of(encoder, example))
    with tempfile.TemporaryDirectory() as name:
        _save(call, encoder, example, Path(name))
    _needs(module, encoder, config.root).require_portable()


def require_output(names: Sequence[str], config: Settings) -> None:
    """Check that ``evaluation.output`` names an output of the network.

    Args:
        names: Of its outputs; none for a network with one.

    Raises:
        TrainingError: It does not; names the outputs.
    """
    chosen = config.evaluation.output
    if chosen and not names:
        remedy = "Return a dict with an output for each label" if config.evaluation.heads else "Take it out"
        raise TrainingError(f"evaluation.output names {chosen!r}, and forward gives one tensor. {remedy}.")
    if names and chosen not in names:
        found = f"names {chosen!r}" if chosen else "is not set"
        raise TrainingError(
            f"forward gives the outputs {', '.join(names)}, and evaluation.output {found}. Set it to the one that "
            f"03_evaluate judges, for example evaluation: {{output: {names[0]}}}."
        )


def log(
    module: torch.nn.Module,
    encoder: InputEncoder,
    features: "pd.DataFrame",
    sample: "pd.DataFrame",
    run_id: str,
    metadata: dict[str, Any],
    root: Path,
    preparation: Preparation | None = None,
) -> str:
    """Log a trained network to a run, with the encoder of its inputs; return its URI.

    Args:
        module: The network.
        encoder: Of its inputs.
        features: Rows for the model's example.
        sample: Rows that show whether its answers depend on padding.
        run_id: The run.
        metadata: Of the model.
        root: The project's folder.
        preparation: See `table_package.log`.
    """
    import mlflow

    features = encoder.with_small_images(features)
    example = encoder.prepared_frame(features)
    call = call_in_double(module, encoder, example)
    require_row_wise(type(module).__name__, call, tensors_of(encoder, example), trained=True)
    by_length = depends_on_padding(call, encoder, encoder.prepared_frame(sample))
    if by_length:
        print(
            "The network's answer for a row depends on the padding of its sequences: predictions are made of rows of one "
            "length at a time, without padding.",
            flush=True,
        )
    encoder = encoder.with_inputs(by_length=by_length, double=call.in_double)
    outputs = specs_of(answers(call, encoder, encoder.prepared_frame(sample)))
    if outputs:
        print("outputs  " + "  ".join(map(str, outputs)), flush=True)
    encoder = encoder.with_inputs(outputs=outputs)
    answer = by_row(answers(call, encoder, example))
    metadata = {**metadata, **facts_of(encoder, preparation is not None)}
    needs = _needs(module, encoder, root)
    with (
        tempfile.TemporaryDirectory() as name,
        tempfile.TemporaryDirectory() as code,
        mlflow.start_run(run_id=run_id),
    ):
        folder = Path(name) / Path(table_package.FOLDER).name
        folder.mkdir()
        mlflow.set_tag(FORMAT_TAG, encoder.inputs.format)
        _save(call, encoder, example, folder)
        encoder = with_files(encoder, folder)
        own = needs.copy_into(Path(code))
        return table_package.log(
            folder, encoder, features, answer, metadata, needs.requirements(), own, preparation
        )


def facts_of(encoder: InputEncoder, is_prepared: bool) -> dict[str, Any]:
    """Metadata of a network's inputs and outputs, for a service; no inputs where code makes the rows that they take."""
    found, made = encoder.inputs.to_dict(), {}
    if not encoder.inputs.collate and not is_prepared:
        made[INPUTS_KEY] = found["specs"]
    if encoder.inputs.outputs:
        made[OUTPUTS_KEY] = found["outputs"]
    return made


def with_files(encoder: InputEncoder, folder: Path) -> InputEncoder:
    """The encoder with the files of its tokenizers in a folder, each under a name of its own."""
    specs = list(encoder.inputs.specs)
    for place, spec in enumerate(specs):
        if spec.tokenizer and ":" not in spec.tokenizer:  # may lie in any folder of the machine
            specs[place] = replace(spec, tokenizer=f"tokenizer-{place}.json")
            shutil.copyfile(encoder.folder / spec.tokenizer, folder / specs[place].tokenizer)
    inputs = replace(encoder.inputs, specs=tuple(specs))
    return InputEncoder(inputs, encoder.encoder, encoder.schema, folder)


def open_network(folder: Path, encoder: InputEncoder) -> Any:
    """The network of a logged model, as a function of its tensors in order."""
    module: Any = load(folder, encoder.inputs)
    specs = encoder.inputs.specs
    if encoder.has_free_sizes or encoder.inputs.holds_code:
        return module
    # Valid for every input: the code of an unknown category, or the number one.
    example = [np.ones((5, *(size or 0 for size in spec.shape)), dtype=spec.dtype) for spec in specs]
    return freeze(module, *map(torch.from_numpy, example))


def _save(call: NetworkCall, encoder: InputEncoder, example: list[np.ndarray], folder: Path) -> None:
    file = folder / FILES[encoder.inputs.format]
    if encoder.inputs.format == "export":
        torch.export.save(exported(call, encoder, example), file)
    elif encoder.inputs.format == "script":
        torch.jit.save(scripted(call, encoder, example), str(file))
    else:
        held = BytesIO()
        try:
            torch.save(call.network, held)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise TrainingError(
                f"{type(call.network).__name__} cannot be pickled, so the trained model could not be logged: {error}. Define "
                "its classes and functions at the top of a module."
            ) from error
        file.write_bytes(held.getvalue())


def _needs(module: torch.nn.Module, encoder: InputEncoder, root: Path) -> Needs:
    """The modules that make the inputs and, of a pickle, those of the network's classes."""
    modules = {"numpy", "torch", *encoder.inputs.modules}
    if any(spec.tokenizer and ":" not in spec.tokenizer for spec in encoder.inputs.specs):
        modules.add("tokenizers")
    if encoder.decodes_images:
        modules.add("PIL")
    if encoder.inputs.format == "pickle":
        modules |= {type(one).__module__ for one in module.modules()}
    return Needs(modules, root)
