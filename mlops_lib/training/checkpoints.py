"""The folder of a training's checkpoints, named after everything that its weights depend on.

A training that was killed leaves its folder; the next one with the same inputs finds it,
and a training that ends deletes it. See docs/decisions/0509-a-training-resumes-by-its-inputs.md.
"""

import contextlib
import fcntl
import hashlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib import __version__, files
from mlops_lib.columns.encode import Encoder
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.settings import Settings

if TYPE_CHECKING:
    from torch import nn

#: Below the work folder.
FOLDER = "checkpoints"
#: A folder that no training has used for so long is deleted by the next one.
MAX_AGE_S = 14 * 86_400


@contextlib.contextmanager
def folder(config: Settings, name: str) -> Iterator[Path]:
    """The folder of a training, deleted when the block ends without an error.

    Args:
        config: Names the work folder.
        name: From `identity`.

    Yields:
        The folder. A temporary one if another process trains the same, or the work folder cannot be written.
    """
    place = config.path(config.pipeline.work_dir) / FOLDER
    with contextlib.ExitStack() as stack:
        try:
            place.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context((place / f"{name}.lock").open("a"))
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            (place / name).mkdir(exist_ok=True)
            _remove_old(place, name)
        except OSError as error:
            print(
                f"This training could not be resumed if it was interrupted: {_reason(error, place)}",
                flush=True,
            )
            yield Path(stack.enter_context(tempfile.TemporaryDirectory()))
            return
        yield place / name
        shutil.rmtree(place / name, ignore_errors=True)
        (place / f"{name}.lock").unlink(missing_ok=True)


def identity(
    config: Settings, data_loader: BaseDataLoader, encoder: Encoder | InputEncoder, module: "nn.Module"
) -> str:
    """A name for a training with these inputs: settings, task, rows, encoder, code,
    versions and initial weights.

    Args:
        config: The sections `model` and `train`, with the sizes chosen.
        data_loader, encoder: Rows and how they become numbers.
        module: The network before its first step.
    """
    import lightning
    import torch

    parts = {
        "model": config.model.model_dump(mode="json", exclude={"name"}),
        "train": config.train.model_dump(mode="json"),
        "task": config.evaluation.task,
        "rows": [data_loader.fingerprint(), data_loader.count("train"), data_loader.count("validation")],
        "encoder": encoder.to_dict(),
        "code": _code(config, encoder, module),
        "tokenizers": _tokenizers(encoder),
        "versions": [__version__, torch.__version__, lightning.__version__],
        "weights": _weights(module),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:20]


def _weights(module: "nn.Module") -> str:
    import torch

    total = hashlib.sha256()
    for name, value in module.state_dict().items():
        total.update(f"{name} {tuple(value.shape)} {value.dtype}\n".encode())
        total.update(value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()


def _code(config: Settings, encoder: Encoder | InputEncoder, module: "nn.Module") -> list[str]:
    """Digests of the code of the network, of what makes it and its inputs, of callbacks, and of data module or dataset.

    Of each module: of its package, or of the files in its folder.
    """
    classes = {base for layer in module.modules() for base in type(layer).__mro__}
    made = [*config.train.callbacks, config.train.datamodule, config.train.dataset]
    named = [config.model.implementation, *(one["class"] for one in made if one)]
    modules = {one.__module__ for one in classes} | {path.partition(":")[0] for path in named if ":" in path}
    if isinstance(encoder, InputEncoder):
        modules |= encoder.inputs.modules
    return sorted({digest for name in modules if (digest := _digest_beside(name))})


def _tokenizers(encoder: Encoder | InputEncoder) -> list[str]:
    """Digests of the files of tokenizers."""
    if not isinstance(encoder, InputEncoder):
        return []
    named = [spec.tokenizer for spec in encoder.inputs.specs]
    return [files.sha256(encoder.folder / name) for name in named if name and ":" not in name]


def _digest_beside(name: str) -> str:
    file = getattr(sys.modules.get(name), "__file__", None)
    # The versions stand for what is installed; what was imported by chance does not count.
    if not file or "site-packages" in file or Path(file).is_relative_to(sys.base_prefix):
        return ""
    _, *inner = name.split(".")
    if not inner:
        folder = Path(file).parent
        return files.digest_of_folder(folder, folder.glob("*.py"))
    return _digest_of_package(Path(file).parents[len(inner) - 1])


@cache
def _digest_of_package(folder: Path) -> str:
    return files.digest_of_folder(folder, folder.rglob("*.py"))


def _remove_old(place: Path, name: str) -> None:
    for old in place.iterdir():
        if old.stem != name and old.stat().st_mtime < time.time() - MAX_AGE_S:
            shutil.rmtree(old) if old.is_dir() else old.unlink(missing_ok=True)


def _reason(error: OSError, place: Path) -> str:
    if isinstance(error, BlockingIOError):
        return "another process trains the same now."
    return f"{place} cannot be written ({error})."
