"""The prepared dataset of a cached step: checked, copied to where it lasts,
linked into the folder of a new run."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_lib import loaders
from mlops_lib.errors import MlopsError
from mlops_lib.settings import Settings
from mlops_lib.step_cache.entry import Entry, Stale


def current(settings: Settings, parameters: Mapping[str, Any], entry: Entry) -> dict[str, Any]:
    """The outputs of a step that writes the dataset, for the run that asks.

    Raises:
        Stale: The dataset is gone or was changed.
    """
    try:
        fingerprint = loaders.prepared(settings, entry.data).fingerprint()
    except MlopsError:
        raise Stale(f"the dataset in {entry.data} is gone") from None
    if fingerprint != entry.outputs["fingerprint"]:
        raise Stale(f"the dataset in {entry.data} was changed")
    return {**entry.outputs, "parent_run_id": parameters["parent_run_id"] or entry.parent_run_id}


def lasting_folder(settings: Settings, folder: str, fingerprint: str, copy: bool) -> str:
    """A folder in which the dataset stays available after the run.

    The folder of a pod is deleted with the pod, so the cache has a copy in the work folder,
    which is on a volume.

    Args:
        settings: Resolved settings.
        folder: The dataset.
        fingerprint: Of the dataset.
        copy: Make a copy if there is none.

    Returns:
        The copy, or `folder` itself: when it is in the work folder, or there is no copy.
    """
    work = settings.path(settings.pipeline.work_dir)
    if Path(folder).is_relative_to(work):
        return folder
    # The folder's own name is part of the fingerprint.
    kept = work / "step_cache" / "data" / fingerprint / Path(folder).name
    if _same_dataset(settings, kept, folder, fingerprint):  # another run's; it may be reading it now
        return str(kept)
    if not copy:
        return folder
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(kept, ignore_errors=True)
        partial = Path(tempfile.mkdtemp(dir=kept.parent, suffix=".partial"))
        try:
            link(folder, str(partial))
            partial.rename(kept)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        if not _same_dataset(settings, kept, folder, fingerprint):  # else another run was faster
            print(f"The dataset in {folder} is not cached in {kept}: {error}", flush=True)
            return folder
    return str(kept)


def link(folder: str, target: str) -> None:
    """Put the files of `folder` into `target` too: as links where the file system allows, else as copies."""

    def link_or_copy(source: str, wanted: str) -> None:
        Path(wanted).unlink(missing_ok=True)
        try:
            os.link(source, wanted)
        except OSError:  # another file system
            shutil.copy2(source, wanted)

    shutil.copytree(folder, target, copy_function=link_or_copy, dirs_exist_ok=True)


def _same_dataset(settings: Settings, kept: Path, folder: str, fingerprint: str) -> bool:
    """Whether `kept` has the dataset of `folder`, with the same tags,
    which are no part of the fingerprint."""
    with contextlib.suppress(Exception):  # a dataset that cannot be read is another one
        found, own = loaders.prepared(settings, kept), loaders.prepared(settings, folder)
        return found.fingerprint() == fingerprint and found.tags == own.tags
    return False
