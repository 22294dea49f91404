"""What the steps remember: a step whose inputs are all as they were is not run again.

The key of a step is its notebook, the code it uses, the settings it reads, its parameters and the content of
its data. A finished step leaves its outputs under that key in ``<work_dir>/memory``: small files, because
asking MLflow would cost more seconds than an unchanged run may take.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from mlops_lib import __version__, config, loaders, tracking
from mlops_lib.errors import MlopsError
from mlops_lib.redact import masked
from mlops_lib.settings import Settings
from mlops_lib.step_cache import mlflow_state
from mlops_lib.steps.contracts import CONTRACTS, Outputs, Parameters

#: Words for the steps: "use" what any run has done, "resume" what this very run has done; "noted": who started
#: the steps logs to MLflow what was remembered, so that they need not. Empty: always run.
MEMORY_ENV = "MLOPS_MEMORY"

#: Settings that change nothing in a step. What is not listed counts, so that a new setting is never overlooked.
PREPARED = ("data.loader", "data.source", "data.prepare", "data.seed", "data.validation_fraction",
            "data.test_fraction", "data.sql", "data.checks")  # fmt: skip
JUDGING = ("evaluation.min_coverage", "evaluation.baselines", "evaluation.metrics", "evaluation.judge",
           "evaluation.embeddings", "evaluation.concurrency", "evaluation.calls_per_minute", "evaluation.max_calls",
           "evaluation.max_tokens", "evaluation.max_cost_usd", "evaluation.reuse", "evaluation.replay",
           "secrets.openai_base_url")  # fmt: skip
UNREAD: dict[str, tuple[str, ...]] = {
    "01_get_data": ("model", "train", "evaluation", "llm", "secrets.openai_base_url"),
    "02_train": (*PREPARED, *JUDGING, "evaluation.metric", "evaluation.threshold"),
    "03_evaluate": (*PREPARED, "train", "model.name", "model.params", "model.implementation"),
    "04_register": (*JUDGING, "data", "train", "llm", "evaluation.task", "model.wrapper", "model.implementation",
                    "model.params"),
}  # fmt: skip
NOWHERE_READ = ("cluster", "pipeline", "search", "serving", "secrets.openai_api_key", "secrets.anthropic_api_key",
                "secrets.data_password", "secrets.tecton_api_key")  # fmt: skip
#: Settings that may name code or files of the user's own, for the steps that read them.
NAMED: dict[str, tuple[str, ...]] = {
    "01_get_data": ("data.loader", "data.prepare", "data.feature_store"),
    "02_train": ("model.wrapper", "model.implementation", "model.params"),
    "03_evaluate": (
        "model.wrapper",
        "evaluation.task",
        "evaluation.metric",
        "evaluation.metrics",
        "evaluation.baselines",
    ),
    "04_register": (),
}
CODE = (".py",)
#: Files beside a module of the user's own that it may depend on.
OWN_CODE = (".py", ".md", ".txt", ".yaml", ".yml", ".json", ".toml", ".jinja")


class Recall(NamedTuple):
    """What memory says of a step: the outputs it had (None: run it), why, and the pipeline run that made them."""

    outputs: Outputs | None
    reason: str
    run_id: str = ""


class Memory:
    """The memory of one step of one pipeline run.

    Args:
        settings: Resolved settings.
        notebook: Name of the step's notebook.
        parameters: The step's parameters.
        fingerprint: Of the prepared dataset, where it is known; empty: it is computed from ``parameters.data``.
    """

    def __init__(
        self, settings: Settings, notebook: str, parameters: Parameters, fingerprint: str = ""
    ) -> None:
        self.settings, self.notebook, self.parameters = settings, notebook, parameters
        self.work = settings.path(settings.pipeline.work_dir)
        self.folder = self.work / "memory" / notebook
        self._of_this_run = _note_of(settings, notebook, parameters.parent_run_id)
        self.parts = _parts(settings, notebook, parameters, fingerprint)
        self.key = hashlib.sha256(json.dumps(self.parts, sort_keys=True).encode()).hexdigest()

    def recall(self, mode: str, restore: bool = True) -> Recall:
        """The outputs that this step had before, or why it must run; "" when nobody asked the memory.

        Args:
            mode: The words of `MEMORY_ENV`.
            restore: Put a remembered dataset where this run wants it.
        """
        if "resume" in mode and (entry := _read(self._of_this_run)) and self._same_inputs(entry):
            return self._checked(entry, "finished in this run before", restore)
        if "use" not in mode:
            return Recall(None, "")
        if entry := _read(self.folder / f"{self.key}.json"):
            return self._checked(entry, f"nothing changed since run {entry['parent_run_id']}", restore)
        return Recall(None, self._what_changed())

    def keep(self, outputs: Outputs, mode: str = "use") -> None:
        """Remember the outputs of the step; written aside and moved, so that no reader meets half a file.

        Args:
            outputs: What the step has made.
            mode: The words of `MEMORY_ENV`: a dataset is copied to where it lasts only for a memory in use.
        """
        entry = {
            "parts": self.parts,
            "parent_run_id": self.parameters.parent_run_id,
            "data": self._lasting(outputs, mode),
            "outputs": outputs.model_dump(),
        }
        _write(self.folder / f"{self.key}.json", entry)
        self._note(entry)

    def _lasting(self, outputs: Outputs, mode: str) -> str:
        """Where the dataset will still be: a pod takes its own folder along, so memory keeps one outside the work folder."""
        folder = self._dataset
        if self.notebook != "01_get_data" or Path(folder).is_relative_to(self.work):
            return folder
        fingerprint = str(outputs.model_dump()["fingerprint"])
        # The folder's own name is part of the fingerprint.
        kept = self.work / "memory" / "data" / fingerprint / Path(folder).name
        if self._is_copy(kept, fingerprint):  # of another run, which may be reading it now
            return str(kept)
        if "use" not in mode:
            return folder
        try:
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(kept, ignore_errors=True)
            partial = Path(tempfile.mkdtemp(dir=kept.parent, suffix=".partial"))
            try:
                _link(folder, str(partial))
                partial.rename(kept)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
        except OSError as error:
            if not self._is_copy(kept, fingerprint):  # else another run was faster
                print(f"The dataset in {folder} is not remembered in {kept}: {error}", flush=True)
                return folder
        return str(kept)

    def _is_copy(self, kept: Path, fingerprint: str) -> bool:
        """Whether a folder holds this step's dataset, tags and all: those are no part of the fingerprint."""
        with contextlib.suppress(Exception):  # what cannot be read is none, and no step fails for it
            found, own = loaders.prepared(self.settings, kept), loaders.prepared(self.settings, self._dataset)
            return found.fingerprint() == fingerprint and found.tags == own.tags
        return False

    def _note(self, entry: Mapping[str, Any]) -> None:
        """Note in the folder of the run that the step is done, for a run that is resumed."""
        if self.parameters.parent_run_id:
            _write(self._of_this_run, entry)

    def _same_inputs(self, entry: dict[str, Any]) -> bool:
        """A resumed run trusts a finished step, unless what came before it has been made anew since."""
        return all(entry["parts"].get(part) == self.parts.get(part) for part in ("data", "model"))

    def _checked(self, entry: dict[str, Any], reason: str, restore: bool) -> Recall:
        """A hit, unless what the step made then is not there any more."""
        outputs = entry["outputs"]
        if self.notebook == "01_get_data":
            gone = self._dataset_gone(entry)
            outputs = {**outputs, "parent_run_id": self.parameters.parent_run_id or entry["parent_run_id"]}
        else:
            gone = mlflow_state.gone(self.settings, self.notebook, self.parameters, outputs)
        if self.notebook == "04_register" and not gone:  # promoted since, perhaps
            run_id = self.parts["model"]
            stage = mlflow_state.stage(self.settings, outputs["model_name"], outputs["version"], run_id)
            outputs = {**outputs, "stage": stage}
        if gone:
            return Recall(None, f"because {gone}")
        if restore and self.notebook == "01_get_data" and self._dataset != entry["data"]:
            _link(entry["data"], self._dataset)
        self._note({**entry, "data": self._dataset, "outputs": outputs})
        made = CONTRACTS[self.notebook].outputs.model_validate(outputs)
        return Recall(made, reason, entry["parent_run_id"])

    def _dataset_gone(self, entry: dict[str, Any]) -> str:
        try:
            fingerprint = loaders.prepared(self.settings, entry["data"]).fingerprint()
        except MlopsError:
            return f"the dataset in {entry['data']} is gone"
        unchanged = fingerprint == entry["outputs"]["fingerprint"]
        return "" if unchanged else f"the dataset in {entry['data']} was changed"

    @property
    def _dataset(self) -> str:
        """The folder of the prepared dataset; "" for a step that has none."""
        given = self.parameters.model_dump()
        return str(loaders.prepared_folder(self.settings, given["data"])) if "data" in given else ""

    def _what_changed(self) -> str:
        """Which parts differ from the last time that this step ran."""
        entries = sorted(self.folder.glob("*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
        last = next((entry for file in entries if (entry := _read(file))), None)
        if last is None:
            return "because it has not run before"
        before, now = last["parts"], self.parts
        changed = sorted(part for part in {*before, *now} if before.get(part) != now.get(part))
        return f"because {_listed(changed)} changed"


def consult(
    settings: Settings,
    notebook: str,
    parameters: Parameters,
    mode: str,
    fingerprint: str = "",
    restore: bool = True,
) -> tuple[Memory | None, Recall]:
    """The memory of a step, and what it says. Whatever cannot be read is the notebook's to complain of, on record.

    None where not even the key can be told.

    Args:
        settings: See `Memory`.
        notebook: See `Memory`.
        parameters: See `Memory`.
        mode: See `Memory.recall`.
        fingerprint: See `Memory`.
        restore: See `Memory.recall`.
    """
    memory = None
    try:
        memory = Memory(settings, notebook, parameters, fingerprint)
        return memory, memory.recall(mode, restore)
    except Exception as error:  # a loader of the user's own may raise anything
        # With a memory, where there is one: that MLflow did not answer is no reason to forget what is made now.
        return memory, Recall(
            None, f"because it cannot be told whether anything changed: {type(error).__name__}"
        )


def forget(settings: Settings, notebook: str, run_id: str) -> None:
    """Drop what a step has noted in its run: it was run anew, and whoever started the run would log the old outputs."""
    with contextlib.suppress(OSError):
        _note_of(settings, notebook, run_id).unlink(missing_ok=True)


def noted(settings: Settings, run_id: str) -> dict[str, dict[str, Any]]:
    """The outputs that the steps of a run have noted, by notebook."""
    entries = {notebook: _read(_note_of(settings, notebook, run_id)) for notebook in CONTRACTS}
    return {notebook: entry["outputs"] for notebook, entry in entries.items() if entry}


def _note_of(settings: Settings, notebook: str, run_id: str) -> Path:
    return settings.path(settings.pipeline.work_dir) / "runs" / run_id / f"{notebook}.json"


def _parts(settings: Settings, notebook: str, parameters: Parameters, fingerprint: str) -> dict[str, str]:
    """Everything that decides what a step makes, each part under the name that a person is told."""
    given = parameters.model_dump()
    values = config.flat(settings)
    parts = {
        "the notebook": tracking.sha256(settings.notebook(notebook)),
        "the library": f"{__version__} {_digest_of_folder(Path(__file__).parents[1])}",
        # That a step works on the laptop does not say that the image holds what it needs.
        "the image": os.environ.get("MLOPS_IMAGE", ""),
    }
    for name, value in given.items():
        if name not in ("parent_run_id", "data", "run_id"):
            parts[f"parameter {name}"] = str(value)
    # MLflow writes the resolved URI into the environment of the steps.
    values["mlflow.tracking_uri"] = masked(tracking.tracking_uri(settings))
    values["secrets.openai_base_url"] = masked(settings.secrets.openai_base_url or "")
    for name, value in values.items():
        unread = (*UNREAD.get(notebook, ()), *NOWHERE_READ)
        if not any(f"{name}.".startswith(f"{key}.") for key in unread):
            parts[name] = str(value)
    for name, value in values.items():
        named = any(f"{name}.".startswith(f"{key}.") for key in NAMED.get(notebook, ()))
        digests = [_digest_named(settings, text) for text in _texts(value)] if named else []
        if any(digests):
            parts[f"what {name} names"] = " ".join(digests)
    if "run_id" in given:
        parts["model"] = given["run_id"]
    if notebook == "01_get_data":
        chosen = {name: given[name] for name in ("loader", "source") if given[name]}
        data = settings.data.model_copy(update=chosen)
        parts["data"] = loaders.from_settings(settings.model_copy(update={"data": data})).fingerprint()
    elif "data" in given:
        parts["data"] = fingerprint or loaders.prepared(settings, given["data"]).fingerprint()
    return parts


def _texts(value: Any) -> Iterator[str]:
    """Every text in a setting's value, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(inner)


def _digest_named(settings: Settings, text: str) -> str:
    """Of what a text names: a module (with its neighbours, which it may read), a file or a folder; else ""."""
    work = settings.path(settings.pipeline.work_dir)
    module, colon, _ = text.partition(":")
    if colon:
        with contextlib.suppress(ImportError, ValueError):
            spec = importlib.util.find_spec(module)
            if spec and spec.origin and spec.has_location:
                folder = Path(spec.origin).resolve().parent
                # Beside a module in no package may lie anything: of that, only what it may import. Where that is
                # the project, packages too; elsewhere, in an environment say, those are somebody else's.
                own = folder == settings.root.resolve()
                suffixes = CODE if own or not spec.parent else OWN_CODE
                return _digest_of_folder(folder, suffixes, work, deep=own or bool(spec.parent))
        return ""
    try:
        path = settings.path(text)
        if not text or not path.exists() or path == settings.root:
            return ""
    except (OSError, ValueError, RuntimeError):  # a text that cannot be a path: a prompt, say
        return ""
    return tracking.sha256(path) if path.is_file() else _digest_of_folder(path, OWN_CODE, work)


@cache
def _digest_of_folder(
    folder: Path, suffixes: tuple[str, ...] = CODE, work: Path | None = None, deep: bool = True
) -> str:
    digest = hashlib.sha256()
    for file in sorted(_files(folder, suffixes, work, deep)):
        digest.update(f"{file.relative_to(folder)}\0{tracking.sha256(file)}\n".encode())
    return digest.hexdigest()


def _files(folder: Path, suffixes: tuple[str, ...], work: Path | None, deep: bool) -> Iterator[Path]:
    """Files of a folder that somebody wrote: not those of hidden folders, virtual environments or the work folder.

    Where only code is wanted, only from folders that an import can name: MLflow keeps models' code in numbered ones.
    """
    for parent, folders, names in os.walk(folder):
        yield from (path for name in names if (path := Path(parent, name)).suffix in suffixes)
        inner = [name for name in folders if deep and not name.startswith(".")]
        paths = {name: Path(parent, name) for name in inner if name.isidentifier() or suffixes != CODE}
        folders[:] = [
            name for name, path in paths.items() if path != work and not (path / "pyvenv.cfg").exists()
        ]


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _link(folder: str, target: str) -> None:
    """The files of `folder` in `target` too: linked where the file system can, else copied."""

    def link_or_copy(source: str, wanted: str) -> None:
        Path(wanted).unlink(missing_ok=True)
        try:
            os.link(source, wanted)
        except OSError:  # another file system
            shutil.copy2(source, wanted)

    shutil.copytree(folder, target, copy_function=link_or_copy, dirs_exist_ok=True)


def _read(file: Path) -> dict[str, Any] | None:
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(file: Path, entry: Mapping[str, Any]) -> None:
    """As far as the disk takes it: a step that has done its work must not fail for what is remembered of it."""
    partial = None
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=file.parent, suffix=".partial", delete=False) as stream:
            partial = Path(stream.name)
            json.dump(entry, stream)
        partial.replace(file)
    except OSError as error:
        print(f"Not remembered in {file}: {error}", flush=True)
        if partial:
            partial.unlink(missing_ok=True)
