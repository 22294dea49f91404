"""The manifest of a training run: which code, environment, configuration and data the model was made from."""

import os
import platform
import shutil
import subprocess
from dataclasses import asdict
from typing import Any

import yaml

from mlops_lib import __version__, files
from mlops_lib.lineage import archive, git
from mlops_lib.lineage.code_files import MAX_LISTED, LeftOut
from mlops_lib.lineage.lock import lock
from mlops_lib.redact import mask_secrets
from mlops_lib.redact.keys import Masker
from mlops_lib.settings import Settings

#: Increased when a reader of older manifests would misunderstand this one.
SCHEMA = 1
#: Variables that change the numbers which a training computes.
NUMERIC_VARIABLES = (
    "CUBLAS_WORKSPACE_CONFIG", "CUDA_VISIBLE_DEVICES", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
    "PYTHONHASHSEED",
)  # fmt: skip
#: A driver that hangs does not hold up a training.
ACCELERATOR_TIMEOUT_S = 30.0
DIFF, ARCHIVE, LOCK, CONFIG, MANIFEST = "code.diff", "code.zip", "lock.txt", "config.yaml", "manifest.json"
#: File -> the key of the manifest with its digest, which is empty where a run has no such file.
DIGESTS = {DIFF: "diff_sha256", ARCHIVE: "archive_sha256", LOCK: "lock_sha256", CONFIG: "config_sha256"}


def manifest_of(
    settings: Settings, data: dict[str, Any], arguments: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest of a training that starts now, and the files beside it by name.

    Args:
        settings: Settings of the training.
        data: Fingerprint and origin of the data.
        arguments: Arguments of the pipeline; empty for a notebook that was started by hand.
    """
    code, contents = _code(settings)
    contents |= {LOCK: lock().encode(), CONFIG: config_text(settings).encode()}
    digests = {
        key: files.sha256_of(contents[name]) if name in contents else "" for name, key in DIGESTS.items()
    }
    manifest = {
        "schema": SCHEMA,
        "library": __version__,
        "commit": code.pop("commit"),
        **digests,
        "code": code,
        "image": _image(os.environ.get("MLOPS_IMAGE", "")),
        **machine(),
        "environment": {name: os.environ[name] for name in NUMERIC_VARIABLES if name in os.environ},
        "model": settings.model.name,
        "seed": settings.train.seed,
        "arguments": arguments,
        "data": data,
        "notebooks": _notebooks(settings),
    }
    return Masker().values(manifest), contents


def machine() -> dict[str, Any]:
    """Python and the machine, for the manifest and to compare with one."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "accelerator": _accelerator(),
    }


def config_text(settings: Settings) -> str:
    """The resolved settings as a config file, without secrets and without the folder
    that paths start from."""
    values = settings.model_dump(mode="json", exclude={"root", "secrets"})
    return mask_secrets(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


def _code(settings: Settings) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Facts about the code, and its patch (in a repository that has changes) or
    archive (without a repository)."""
    skipped = [settings.path(settings.pipeline.work_dir)]
    source = settings.data.source
    if "://" not in source and (named := settings.path(source)) != settings.root.resolve():
        skipped.append(named)
    try:
        found = git.code_of(settings.root, skipped)
    except git.NoGit as error:
        kept = archive.archive_of(settings.root, skipped)
        # An image is built from a commit, and has no repository.
        commit = os.environ.get("GIT_COMMIT", "")
        unknown = f"No repository here ({error}): "
        unknown += (
            "the archive has the code files."
            if kept.is_project
            else f"{settings.root} has more than {archive.MAX_FILES} files, of which none is stored."
        )
        if commit:
            unknown += " The commit is the image's, by GIT_COMMIT."
        facts: dict[str, Any] = {"commit": commit, "from": "archive", "folder": "", "unknown": unknown}
        contents = {ARCHIVE: kept.content} if kept.is_project else {}
        return facts | _exceptions(kept.left_out, kept.masked), contents
    facts = {"commit": found.commit, "from": "git", "folder": found.folder, "unknown": ""}
    return facts | _exceptions(found.left_out, found.masked), {DIFF: found.diff} if found.diff else {}


def _exceptions(left: list[LeftOut], masked: dict[str, str]) -> dict[str, Any]:
    """Files that are not stored as they were. A file with ``***`` for its secrets may not run,
    and is another file."""
    return {
        "left_out": [asdict(one) for one in left[:MAX_LISTED]],
        "left_out_more": max(len(left) - MAX_LISTED, 0),
        "masked": masked,
    }


def _image(name: str) -> dict[str, str]:
    """The image that the training runs in: its name, and its digest where the runner or the name has it."""
    return {"name": name, "digest": os.environ.get("MLOPS_IMAGE_DIGEST", "") or name.partition("@")[2]}


def _notebooks(settings: Settings) -> dict[str, str]:
    """File name -> SHA-256 of each notebook of the project."""
    folder = settings.path(settings.pipeline.notebooks)
    return {file.name: files.sha256(file) for file in sorted(folder.glob("*.ipynb"))}


def _accelerator() -> str:
    """The NVIDIA cards of the machine and their driver; "" for none. PyTorch, which knows them too, is slow to import."""
    tool = shutil.which("nvidia-smi")
    if not tool:
        return ""
    command = [tool, "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=ACCELERATOR_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    cards = [] if found.returncode else found.stdout.splitlines()
    kinds = {card: cards.count(card) for card in cards}
    return "; ".join(f"{number} x {card.replace(', ', ', driver ', 1)}" for card, number in kinds.items())
