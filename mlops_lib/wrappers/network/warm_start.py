"""Start a network from the weights of a registered version or of a file, for fine-tuning."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib import files
from mlops_lib.columns.encode import Encoder
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import BESIDE, Inputs
from mlops_lib.registry import Registry
from mlops_lib.settings import Settings
from mlops_lib.settings.served_model import served_model
from mlops_lib.tracking import WARM_START_TAG
from mlops_lib.wrappers import table_package
from mlops_lib.wrappers.interface import COLUMNS_KEY
from mlops_lib.wrappers.load import download

if TYPE_CHECKING:
    from torch import Tensor, nn

#: Parameters that an error names.
MAX_NAMED = 5


def load(module: "nn.Module", encoder: Encoder | InputEncoder, config: Settings, run_id: str) -> None:
    """Put the weights of ``train.warm_start`` into a network.

    Args:
        module: The network, with its preprocessing fitted; the weights bring the
            preprocessing that they learned with.
        encoder: Of the new rows. The weights of a version must have learned with the same inputs,
            and with its categories' codes.
        config: The `train` section is read.
        run_id: Run that gets the address of the version as a tag.

    Raises:
        TrainingError: The weights or inputs do not fit, and ``train.warm_start_strict`` is true; names them.
            Or nothing fits, or the file holds no weights.
        RegistryError: There is no such version.
    """
    import mlflow

    address = config.train.warm_start
    if address.startswith("models:"):
        named = served_model(address)
        version = Registry(config).resolve(
            named["model.name"], named["serving.stage"], named["serving.alias"], named["serving.version"]
        )
        address = version.uri
        folder = download(address)
        weights, problems = _exported(folder, address), _other_inputs(folder, encoder)
    else:
        weights, problems = _of_file(config.path(address)), []
    mlflow.MlflowClient().set_tag(run_id, WARM_START_TAG, address)
    own = module.state_dict()
    fitting = {name: value for name, value in weights.items() if _fits(own.get(name), value)}
    problems += [
        _problem(name, own.get(name), weights.get(name)) for name in {**own, **weights} if name not in fitting
    ]
    found = f"{len(fitting)} of {len(own)} parameters and buffers of {type(module).__name__} are in {address}"
    listed = "; ".join(problems[:MAX_NAMED]) + ("; ..." if len(problems) > MAX_NAMED else "")
    if not fitting or (problems and config.train.warm_start_strict):
        way_out = (
            "" if not fitting else " To start with the ones that fit, set train.warm_start_strict: false."
        )
        raise TrainingError(f"train.warm_start: {found}. {listed}.{way_out}")
    module.load_state_dict(fitting, strict=False)
    print(f"Warm start: {found}." + (f" Left as they were: {listed}." if problems else ""), flush=True)


def _fits(own: "Tensor | None", value: "Tensor") -> bool:
    return own is not None and own.shape == value.shape


def _problem(name: str, own: "Tensor | None", value: "Tensor | None") -> str:
    if own is None:
        return f"the network has no {name!r}"
    if value is None:
        return f"{name!r} is missing there"
    return f"{name!r} has shape {list(own.shape)} in the network and {list(value.shape)} there"


def _exported(folder: Path, address: str) -> "dict[str, Tensor]":
    """The weights of a logged network, under the names that they had in the module."""
    import torch

    own, mlflows = folder / table_package.FOLDER / table_package.NETWORK, folder / "data" / "model.pt2"
    file = own if own.is_file() else mlflows
    if not file.is_file():
        raise TrainingError(f"train.warm_start: {address} is no network that this library logged.")
    weights = dict(torch.export.load(str(file)).state_dict)
    # A small network is logged in float64, as the part `network` of another module: see decision 0507.
    if all(name.startswith("network.") for name in weights):
        weights = {name.removeprefix("network."): value for name, value in weights.items()}
    return {name: value.float() if value.is_floating_point() else value for name, value in weights.items()}


def _of_file(file: Path) -> "dict[str, Tensor]":
    """The weights of a state dict or a checkpoint of Lightning."""
    import torch

    try:
        content = torch.load(file, weights_only=True, map_location="cpu")
    except Exception as error:  # torch raises anything for a file of another form
        raise TrainingError(
            f"train.warm_start: {file} cannot be read as weights ({error}). It takes a file of torch.save with a state "
            "dict, or a checkpoint of Lightning, without objects that must be unpickled."
        ) from error
    weights: Any = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(weights, Mapping) or not all(isinstance(one, torch.Tensor) for one in weights.values()):
        raise TrainingError(f"train.warm_start: {file} holds no state dict.")
    return dict(weights)


def _other_inputs(folder: Path, encoder: Encoder | InputEncoder) -> list[str]:
    """What the network takes in another place, or with other codes, than the logged one."""
    from mlflow.models import Model

    old = table_package.read_encoder(folder)
    new = encoder.encoder if isinstance(encoder, InputEncoder) else encoder
    if old is None:  # numbers as they are
        found = (Model.load(str(folder)).metadata or {}).get(COLUMNS_KEY)
        if not found:
            return []
        old = Encoder(Schema.from_dict(found), {})
    described = table_package.described_inputs(folder)
    if described and isinstance(encoder, InputEncoder):
        problems = _other_columns(described, folder / table_package.FOLDER, encoder)
    elif list(old.schema.features) != list(new.schema.features):
        problems = [f"it has the features {', '.join(old.schema.features)}"]
    else:
        problems = []
    return problems + [
        f"the values of column {name!r} have other codes there"
        for name in new.schema.features
        if name in old.schema.features and old.learned.get(name) != new.learned.get(name)
    ]


def _other_columns(old: Inputs, folder: Path, encoder: InputEncoder) -> list[str]:
    """The inputs that hold other columns, or the same ones in another form or by another tokenizer."""
    ours, theirs = _contents(encoder.inputs, encoder.folder), _contents(old, folder)
    return [
        f"input {place} is {ours.get(place, 'missing')} in the network and {theirs.get(place, 'missing')} there"
        for place in {**ours, **theirs}
        if ours.get(place) != theirs.get(place)
    ]


def _contents(inputs: Inputs, folder: Path) -> dict[str, str]:
    """Name of each input, or its number where the network takes them in order -> what it holds."""
    found = {}
    for number, spec in enumerate(inputs.specs, start=1):
        if spec.form not in BESIDE:
            maker = inputs.collate or spec.tokenizer
            if spec.tokenizer and ":" not in spec.tokenizer:  # a file, which a logged model renames
                maker = f"tokenizer {files.sha256(folder / spec.tokenizer)[:12]}"
            form = f"{spec.form} of {maker}" if maker else spec.form
            place = str(number) if inputs.style == "positions" else repr(spec.name)
            found[place] = f"{', '.join(spec.columns)} ({form})"
    return found
