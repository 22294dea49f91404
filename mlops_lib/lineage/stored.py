"""The lineage of a run, read back and checked against its digests."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_lib import files
from mlops_lib.errors import ReproductionError
from mlops_lib.lineage.capture import FOLDER, LINEAGE_TAG
from mlops_lib.lineage.manifest import DIGESTS, MANIFEST, SCHEMA
from mlops_lib.redact import mask


@dataclass(frozen=True)
class Stored:
    """The lineage of a run.

    Attributes:
        manifest: See `mlops_lib.lineage.manifest`.
        folder: Has the files beside it.
    """

    manifest: dict[str, Any]
    folder: Path

    def file(self, name: str) -> Path | None:
        """One of the files; None when the run has none of this name."""
        return self.folder / name if self.manifest[DIGESTS[name]] else None


def read(run_id: str, tags: Mapping[str, str], into: Path) -> Stored:
    """Download the lineage of a run.

    Args:
        run_id: The run.
        tags: Of the run or of its version.
        into: Folder to download to.

    Raises:
        ReproductionError: The run has none, or a file is missing or altered.
    """
    import mlflow

    if not (digest := tags.get(LINEAGE_TAG)):
        raise ReproductionError(
            f"Run {run_id} has no lineage (no tag {LINEAGE_TAG}): it was trained outside the platform, or with a version "
            "of it that stored none."
        )
    # MLflow shows a progress bar for each of a few small files.
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    try:
        folder = Path(mlflow.artifacts.download_artifacts(f"runs:/{run_id}/{FOLDER}", dst_path=str(into)))
        text = (folder / MANIFEST).read_bytes()
    except Exception as error:  # object stores raise errors of their own
        raise ReproductionError(f"The lineage of run {run_id} cannot be read: {mask(str(error))}") from error
    _require(f"{FOLDER}/{MANIFEST}", files.sha256_of(text), digest, run_id)
    manifest = json.loads(text)
    if manifest["schema"] > SCHEMA:
        raise ReproductionError(
            f"The lineage of run {run_id} has schema {manifest['schema']}; this version reads up to {SCHEMA}. Update mlops-lib."
        )
    for name, key in DIGESTS.items():
        if manifest[key]:
            found = files.sha256(folder / name) if (folder / name).is_file() else "no file"
            _require(f"{FOLDER}/{name}", found, manifest[key], run_id)
    return Stored(manifest, folder)


def _require(path: str, found: str, wanted: str, run_id: str) -> None:
    if found != wanted:
        raise ReproductionError(
            f"{path} of run {run_id} was altered: SHA-256 {found[:12]}, recorded {wanted[:12]}."
        )
