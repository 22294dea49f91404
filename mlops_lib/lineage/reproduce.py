"""Makes a registered version again from its lineage, and compares the result with it."""

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlops_lib import config
from mlops_lib.errors import MlopsError, ReproductionError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.lineage import environment, manifest, stored, worktree
from mlops_lib.lineage.compare import Comparison, compare
from mlops_lib.lineage.expected import Expected
from mlops_lib.lineage.lock import lock, read_lock
from mlops_lib.redact.keys import MASKED
from mlops_lib.registry import MODEL_DIGEST_TAG, ModelVersion, model_digest
from mlops_lib.settings import Settings
from mlops_lib.steps import events
from mlops_lib.steps.contracts import EvaluateOutputs, TrainOutputs
from mlops_lib.training import evidence, rows_file
from mlops_lib.wrappers.load import download

CASSETTE = "evaluation/test/cassette.jsonl"
#: In the project folder of the version, so that relative paths mean the same.
CONFIG_FILE = ".mlops-reproduce.yaml"
#: Exit codes of `mlops run` when the pipeline came to its end: the gate let the model pass, or refused it.
ENDED = (0, 3)
#: Variables with the run and the keys of this shell, which a reproduction must not use.
NOT_PASSED_ON = (
    "MLOPS_CONFIG", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_REGISTRY_URI", "MLOPS_STEP_CACHE", "MLOPS_FORK_SERVER",
    "GIT_COMMIT", "MLOPS_IMAGE_DIGEST", "MODEL_SIGNING_KEY", "MODEL_SIGNING_KEY_PASSWORD",
)  # fmt: skip
KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")


@dataclass(frozen=True)
class Reproduction:
    """A version that was made again.

    Attributes:
        comparison: With the version.
        scores: The metric of the version, and of the new model; None: it has no value.
        environment: What differs between the environments, a line each.
    """

    comparison: Comparison
    scores: tuple[float | None, float | None]
    environment: list[str]


def reproduce(
    settings: Settings,
    version: ModelVersion,
    tolerance: float,
    say: worktree.Say,
    build_environment: bool = False,
    keep: bool = False,
) -> Reproduction:
    """Make a version again: its code, data, configuration and seed, in a store of its own.

    Args:
        settings: Of the user's project, which is read only.
        version: The version.
        tolerance: See `mlops_lib.lineage.compare`.
        say: Called with each thing that is done.
        build_environment: Install the version's lock and run there, instead of in this environment.
        keep: Leave the folder with code, data and runs there.

    Raises:
        ReproductionError: The version cannot be made again; says what is missing or changed.
    """
    with _scratch(keep, say) as scratch:
        lineage = stored.read(version.run_id, version.tags, scratch)
        facts = lineage.manifest
        recorded = _recorded(version, scratch)
        project = settings.root.resolve()
        with worktree.code_of(lineage, project, scratch / "code", keep, say) as code:
            folder = facts["code"]["folder"]
            top = project.parents[len(Path(folder).parts) - 1] if folder else project
            file, wanted = code / CONFIG_FILE, _configuration(lineage, scratch)
            data = wanted["data"]
            for line in worktree.link_unstored(_texts(wanted), data["source"], project, code):
                say(line)
            data["source"] = _source(data, project, code, scratch / "code")
            say(f"Data: {_data_shown(data['source'], code)}")
            file.write_text(yaml.safe_dump(wanted, sort_keys=False, allow_unicode=True), encoding="utf-8")
            locked = (lineage.folder / manifest.LOCK).read_text(encoding="utf-8")
            differing = [] if build_environment else _differences(facts, locked)
            for line in differing:
                say(f"Environment: {line}")
            python = sys.executable
            if build_environment:
                say(f"Environment: {len(read_lock(locked))} distributions are installed from the lock")
                built = environment.build(locked, facts["python"], top, scratch / "code", scratch / "venv")
                python = str(built)
            elif not differing:
                say("Environment: as the lock of the version")
            expected = _expected(version, facts, differing, scratch)
            path = environment.import_path(top, scratch / "code")
            _run(python, file, facts, _variables(facts, expected, path), say)
        return _compared(version, recorded, wanted["evaluation"]["metric"], scratch, tolerance, differing)


@contextlib.contextmanager
def _scratch(keep: bool, say: worktree.Say) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="mlops-reproduce-")).resolve()
    try:
        yield folder
    finally:
        if keep:
            say(
                f"Kept: {folder} (a worktree in code/; remove it with: git worktree remove --force {folder}/code)"
            )
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _recorded(version: ModelVersion, scratch: Path) -> tuple[JudgedRows | None, Path]:
    """The rows that the version was registered on, and the folder of its model, checked before anything runs.

    Raises:
        ReproductionError: They cannot be read, or were altered since.
    """
    (scratch / "recorded").mkdir(exist_ok=True)
    try:
        rows, folder = _judged(version), download(version.uri, scratch / "recorded")
    except MlopsError as error:
        raise ReproductionError(str(error)) from None
    wanted = version.tags.get(MODEL_DIGEST_TAG, "")
    if wanted and (found := model_digest(folder)) != wanted:
        raise ReproductionError(
            f"The model files of {version.name} version {version.version} were altered: SHA-256 {found[:12]}, recorded "
            f"{wanted[:12]}."
        )
    return rows, folder


def _differences(facts: Mapping[str, Any], locked: str) -> list[str]:
    return environment.differences(facts, locked, manifest.machine(), lock())


def _configuration(lineage: stored.Stored, scratch: Path) -> dict[str, Any]:
    """The configuration of the training, with the data section of the preparation,
    and stores in `scratch`."""
    content: dict[str, Any] = yaml.safe_load((lineage.folder / manifest.CONFIG).read_text(encoding="utf-8"))
    content["data"] = lineage.manifest["data"].get("settings") or content["data"]
    content["mlflow"]["tracking_uri"] = f"sqlite:///{scratch}/mlflow.db"
    content["pipeline"]["work_dir"] = str(scratch / "work")
    content["pipeline"]["openlineage_url"] = ""
    content["evaluation"]["replay"] = ""
    if masked := [text for text in _texts(content) if MASKED in text]:
        raise ReproductionError(
            f"The configuration had a secret, which is stored as {MASKED}: {', '.join(masked[:3])}. A version can be made "
            "again when its secrets come from the environment."
        )
    return content


def _texts(value: Any) -> Iterator[str]:
    """Every text in a configuration, at any depth."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _source(data: Mapping[str, Any], project: Path, code: Path, top: Path) -> str:
    """``data.source`` for a run in the folder of the version's code.

    Data outside the project is read where the user has it: a relative path gets its absolute form.

    Args:
        data: Section `data`.
        project: The user's project, which relative paths start from.
        code: The project folder of the version.
        top: The folder with all code of the version: the worktree, or the archived files.

    Raises:
        ReproductionError: It is gone. The error of the step would name a temporary folder.
    """
    source = str(data["source"])
    name = source.removeprefix("sqlite:///")
    if "://" in name:
        return source
    path = Path(name).expanduser()
    here, own = Path(os.path.normpath(code / path)), Path(os.path.normpath(project / path))
    if here.is_relative_to(top) and here.exists():
        return source
    if own.exists():
        return source[: len(source) - len(name)] + str(own)
    if data["loader"] in ("local", "sql"):
        raise ReproductionError(f"The data of the version is gone: {own}. Restore it, then run again.")
    return source


def _data_shown(source: str, code: Path) -> str:
    """Where the data is read from."""
    name = source.removeprefix("sqlite:///")
    return f"{source}, read again" if "://" in name else str((code / name).resolve())


def _expected(
    version: ModelVersion, facts: Mapping[str, Any], differing: list[str], scratch: Path
) -> Expected:
    """The data of the version and, for an LLM, its recorded calls, which the steps must find."""
    data = facts["data"]
    # Parquet files name the version of pyarrow that wrote them, so the same rows have another fingerprint.
    rewritten = any(line.startswith("pyarrow:") for line in differing) and data.get("source_fingerprint")
    cassettes = _cassettes(version.run_id, scratch)
    if rewritten:
        return Expected(source_fingerprint=data["source_fingerprint"], cassettes=cassettes)
    return Expected(fingerprint=data["fingerprint"], cassettes=cassettes)


def _cassettes(run_id: str, scratch: Path) -> str:
    """A folder with the recorded LLM calls of a run; "" for a run without."""
    found = _artifact(run_id, CASSETTE, scratch / "recorded")
    if found is None:
        return ""
    target = scratch / "cassettes" / "test.jsonl"
    target.parent.mkdir()
    shutil.copy(found, target)
    return str(target.parent)


def _artifact(run_id: str, path: str, into: Path) -> Path | None:
    """An artifact of the version's run; None when the run has none of this name."""
    import mlflow

    folder = path.rpartition("/")[0]
    try:
        if path not in {one.path for one in mlflow.MlflowClient().list_artifacts(run_id, folder)}:
            return None
        into.mkdir(exist_ok=True)
        return Path(
            mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path, dst_path=str(into))
        )
    except Exception as error:  # object stores raise errors of their own
        raise ReproductionError(f"{path} of run {run_id} cannot be read: {error}") from error


def _variables(facts: Mapping[str, Any], expected: Expected, path: str) -> dict[str, str]:
    """The environment of the run: this one, without the settings and the numbers of this shell."""
    settings = {name for name, key in config.ENVIRONMENT.items() if not key.startswith("secrets.")}
    dropped = {*settings, *NOT_PASSED_ON, *(KEYS if expected.cassettes else ())}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    numeric = environment.variables(facts)
    kept = {name: value for name, value in kept.items() if numeric.get(name, "-")}
    kept |= {name: value for name, value in numeric.items() if value}
    return kept | expected.to_env() | {"PYTHONPATH": path}


def _run(
    python: str, file: Path, facts: Mapping[str, Any], variables: dict[str, str], say: worktree.Say
) -> None:
    """Run the pipeline; its progress goes to standard error.

    Raises:
        ReproductionError: A step failed; its error has been shown.
    """
    options = ["--config", str(file), "--no-cache"]
    if limit := facts["data"].get("limit"):
        options += ["--limit", str(limit)]
    if (threshold := facts["arguments"].get("threshold", -1)) != -1:
        options += ["--threshold", str(threshold)]
    # -P: a module in the current folder must not take the place of an installed one.
    command = [python, "-P", "-c", "from mlops_lib.cli.app import main; main()", "run", *options]
    say(f"Runs: {shlex.join(('mlops', 'run', *options))}")
    with subprocess.Popen(command, cwd=file.parent, env=variables, stdout=subprocess.DEVNULL) as process:
        try:
            code = process.wait()
        except KeyboardInterrupt:  # the steps got it too, and store their records
            process.wait()
            raise
    if code not in ENDED:
        raise ReproductionError("A step failed; its error is above.")


def _compared(
    version: ModelVersion,
    recorded: tuple[JudgedRows | None, Path],
    metric: str,
    scratch: Path,
    tolerance: float,
    differing: list[str],
) -> Reproduction:
    """Compare the models. Their store is read as files: another version of MLflow
    may have made its database."""
    import mlflow

    finished: dict[str, Any] = {}
    for folder in (scratch / "work" / "runs").iterdir():
        finished |= events.finished(folder)
    by_contract = {frozenset(one.outputs): one.outputs for one in finished.values()}
    trained = by_contract[frozenset(TrainOutputs.model_fields)]
    evaluated = by_contract[frozenset(EvaluateOutputs.model_fields)]
    rows = evidence.rows_path("evaluation/test/", evidence.ROWS_FILE, "*")
    new_rows = next(scratch.glob(f"artifacts/{trained['run_id']}/artifacts/{rows}"), None)
    new_model = next(file.parent for file in scratch.glob("artifacts/models/*/artifacts/MLmodel"))
    before, old_model = recorded
    now = rows_file.read(new_rows) if new_rows else None
    found = compare(before, now, (old_model, new_model), tolerance)
    score = mlflow.MlflowClient().get_run(version.run_id).data.metrics.get(f"test.{metric}")
    return Reproduction(found, (score, evaluated["score"]), differing)


def _judged(version: ModelVersion) -> JudgedRows | None:
    """The rows that the version was registered on; None for a version without."""
    if not (path := version.tags.get(evidence.EVIDENCE_TAG)):
        return None
    verdict = evidence.read(version.run_id, path, version.tags.get(evidence.SHA256_TAG, "")).verdict
    if not verdict.rows_sha256:
        return None
    return evidence.read_rows(version.run_id, path, evidence.ROWS_FILE, verdict.rows_sha256)
