"""The store of the step cache: a step whose inputs are unchanged is not run again.

A finished step leaves its outputs in ``<work_dir>/step_cache/<notebook>/<key>.json``.
A small file and not MLflow, because importing MLflow alone takes longer than an unchanged run may take.
"""

from pathlib import Path
from typing import NamedTuple

from mlops_lib import files, loaders
from mlops_lib.errors import MlopsError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.step_cache import dataset
from mlops_lib.step_cache.entry import Entry, Stale
from mlops_lib.step_cache.key import key_of, parts_of
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.steps import events
from mlops_lib.steps.contracts import Outputs, Parameters
from mlops_lib.steps.settings import with_parameters
from mlops_lib.steps.table import Step

#: Most entries that a miss is compared with.
MAX_COMPARED = 50


class Lookup(NamedTuple):
    """The answer of the cache.

    Args:
        reason: Why the step is skipped or must run; empty when the mode asks for no lookup.
        outputs: The cached outputs; None for a miss.
        entry: The cached entry, with the outputs as they are now; None for a miss.
    """

    reason: str
    outputs: Outputs | None = None
    entry: Entry | None = None


class CachedStep:
    """One step of one pipeline run, as the cache sees it.

    Args:
        settings: Resolved settings.
        step: The step.
        parameters: Its parameters.
        fingerprint: Of the prepared dataset, where it is known; empty: computed from ``parameters.data``.
    """

    def __init__(self, settings: Settings, step: Step, parameters: Parameters, fingerprint: str = "") -> None:
        self.settings, self.step, self.parameters = settings, step, parameters
        self.folder = settings.path(settings.pipeline.work_dir) / "step_cache" / step.notebook
        self.parts = parts_of(with_parameters(settings, parameters), step, parameters, fingerprint)
        self.file = self.folder / f"{key_of(self.parts)}.json"

    def lookup(self, mode: StepCacheMode, restore: bool = True) -> Lookup:
        """The outputs that the step had before, or why it must run.

        Args:
            mode: Which results count.
            restore: Put a cached dataset into the folder of this run.
        """
        if (mode.resume or self.step.name in mode.answered) and (entry := self._finished_in_this_run()):
            return self._checked(entry, "finished in this run before", restore)
        if not mode.lookup or self.step.name in mode.answered:
            return Lookup("")
        if entry := _read(self.file):
            return self._checked(entry, f"nothing changed since run {entry.parent_run_id}", restore)
        return Lookup(self._what_changed())

    def store(self, outputs: Outputs, copy_data: bool = True) -> Entry:
        """Store the outputs of the step.

        Args:
            outputs: Outputs of the step.
            copy_data: Copy a dataset that lies outside the work folder.
        """
        values, data = outputs.model_dump(), self._dataset
        if self.step.data == "source":
            data = dataset.lasting_folder(self.settings, data, values["fingerprint"], copy_data)
        entry = Entry(
            parts=self.parts, parent_run_id=self.parameters.parent_run_id, data=data, outputs=values
        )
        try:
            files.write_json(self.file, entry.model_dump())
        except OSError as error:  # a step that has done its work must not fail for the cache
            print(f"Not cached in {self.file}: {error}", flush=True)
        return entry

    def _finished_in_this_run(self) -> Entry | None:
        """A resumed run reuses its finished step, unless the data or the model before it was made anew."""
        run = events.run_folder(self.settings, self.parameters.parent_run_id)
        finished = events.finished(run).get(self.step.name)
        if not finished or not finished.entry:
            return None
        parts = finished.entry.parts
        unchanged = all(parts.get(part) == self.parts.get(part) for part in ("data", "model"))
        return finished.entry if unchanged else None

    def _checked(self, entry: Entry, reason: str, restore: bool) -> Lookup:
        """A hit, unless what the step left is gone."""
        try:
            outputs = self.step.current(self.settings, self.parameters.model_dump(), entry)
        except Stale as stale:
            return Lookup(f"because {stale}")
        if restore and self.step.data == "source" and self._dataset != entry.data:
            dataset.link(entry.data, self._dataset)
            entry = entry.model_copy(update={"data": self._dataset})
        found = self.step.outputs.model_validate(outputs)
        return Lookup(reason, found, entry.model_copy(update={"outputs": outputs}))

    @property
    def _dataset(self) -> str:
        """The folder of the prepared dataset; "" for a step that has none."""
        given = self.parameters.model_dump()
        return str(loaders.prepared_folder(self.settings, given["data"])) if "data" in given else ""

    def _what_changed(self) -> str:
        """The parts that differ from the most similar of the last runs of this step; of several,
        from the newest.

        The last run alone may have been an experiment that nobody goes on with.
        """
        newest = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        now = self.parts
        differing = [
            sorted(part for part in {*entry.parts, *now} if entry.parts.get(part) != now.get(part))
            for file in newest[:MAX_COMPARED]
            if (entry := _read(file))
        ]
        if not differing:
            return "because it has not run before"
        return f"because {_listed(min(differing, key=len))} changed"


def lookup(
    settings: Settings,
    step: Step,
    parameters: Parameters,
    mode: StepCacheMode,
    fingerprint: str = "",
    restore: bool = True,
) -> tuple[CachedStep | None, Lookup]:
    """Look a step up. An error counts as a miss; the notebook then meets the same
    error and puts it on record.

    Args:
        settings: See `CachedStep`.
        step: See `CachedStep`.
        parameters: See `CachedStep`.
        mode: See `CachedStep.lookup`.
        fingerprint: See `CachedStep`.
        restore: See `CachedStep.lookup`.

    Returns:
        The cached step (None when its key cannot be computed) and the answer.
    """
    cached = None
    try:
        cached = CachedStep(settings, step, parameters, fingerprint)
        return cached, cached.lookup(mode, restore)
    except Exception as error:  # a loader of the user's own may raise anything
        reason = f"because the step cannot be looked up: {_first_line(error)}"
        return cached, Lookup(reason if mode.lookup else "")


def _first_line(error: Exception) -> str:
    """The first line of an error, without secrets; the type too where it is not an error of the platform."""
    line = next(iter(mask(str(error)).splitlines()), "")
    return line if isinstance(error, MlopsError) else f"{type(error).__name__}: {line}"


def _read(file: Path) -> Entry | None:
    """The entry in a file; None when there is none, or only half of one."""
    try:
        return Entry.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
