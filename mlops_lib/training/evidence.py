"""The gate's evidence on a model's run: verdict, judged rows, rows that changed sides,
and the plot of differences.

`evaluation/<split>/` of the run has the evidence of its evaluation, `promotion/<time>/` that of a promotion.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from mlops_lib import files, tracking
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.changed_rows import changed_rows
from mlops_lib.evaluation.judged import Champion, JudgedRows
from mlops_lib.evaluation.report import Verdict
from mlops_lib.redact import mask, mask_secrets
from mlops_lib.registry import CHAMPION_TAG, GATE_TAG, METRIC_TAG, ModelVersion, champion_tag
from mlops_lib.training import rows_file
from mlops_lib.training.llm_comparison import artifact_text

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

GATE_FILE, CHANGED_FILE = "gate.json", "changed_rows.json"
#: Names of judged rows; see `rows_path`.
ROWS_FILE, CHAMPION_FILE = "rows", "champion_rows"
#: On a run and on its version: path of the verdict among the run's artifacts, its SHA-256, and the outcome.
EVIDENCE_TAG, SHA256_TAG, OUTCOME_TAG = "mlops.evidence", "mlops.evidence_sha256", "mlops.outcome"
#: Rows that changed sides in a notebook; the run has more.
SHOWN_ROWS = 20


@dataclass(frozen=True)
class Evidence:
    """Evidence as it is stored.

    Attributes:
        path: Of the verdict, among the artifacts of the run.
        sha256: Of that file.
        changed: The rows that changed sides, and a sentence about them; None without a comparison.
    """

    path: str
    sha256: str
    verdict: Verdict
    changed: "tuple[pd.DataFrame, str] | None" = None

    @cached_property
    def figures(self) -> "dict[str, Figure]":
        """``gate``: the differences with their intervals; empty without a comparison."""
        from mlops_lib.evaluation.figures import gate

        return {"gate": figure} if (figure := gate.differences(self.verdict)) else {}

    def _ipython_display_(self) -> None:
        """The evidence as a notebook shows it: verdict, figure, and rows that changed sides."""
        from IPython.display import Markdown, display

        display(self.verdict, *self.figures.values())
        if self.changed:
            table, sentence = self.changed
            display(Markdown(f"**{sentence}**"))
            if len(table):
                display(_both_ends(table).style.format(escape="html", precision=4, na_rep="").hide())


def _both_ends(table: "pd.DataFrame") -> "pd.DataFrame":
    """The first and the last rows: the changes for the worse come first, those for the better last."""
    if len(table) <= SHOWN_ROWS:
        return table
    return table.iloc[[*range(SHOWN_ROWS // 2), *range(len(table) - SHOWN_ROWS // 2, len(table))]]


def folder(split: str) -> str:
    """Where the evidence of an evaluation is, among the artifacts of the model's run."""
    return f"evaluation/{split}"


def log(
    run_id: str, path: str, verdict: Verdict, rows: JudgedRows | None, champion: Champion | None = None
) -> Evidence:
    """Log the evidence of a decision below `path` of a run.

    The verdict is stored twice: as ``gate.json``, which the next evaluation replaces, and under a name with
    its own digest, which stays: a registered version names that file. So do the names of its rows.
    """
    import mlflow

    client = mlflow.MlflowClient()
    opponent = champion.rows if champion and verdict.comparisons else None
    digests = _log_rows(run_id, path, {ROWS_FILE: rows, CHAMPION_FILE: opponent})
    verdict = verdict.model_copy(
        update={
            "rows_sha256": digests.get(ROWS_FILE, ""),
            "champion_rows_sha256": digests.get(CHAMPION_FILE, ""),
        }
    )
    text = mask_secrets(verdict.model_dump_json(indent=2))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    lasting = f"{path}/gate-{sha256[:12]}.json"
    for name in (f"{path}/{GATE_FILE}", lasting):
        client.log_text(run_id, text, name)
    changed = None
    if rows and opponent:
        changed = changed_rows(rows, opponent, verdict.metric, verdict.higher_is_better)
        # MLflow's UI shows this form of JSON as a table.
        table = changed[0].to_json(orient="split", index=False, force_ascii=False, default_handler=str)
        content = json.dumps({**json.loads(table), "sentence": changed[1]}, ensure_ascii=False)
        tracking.log_text(run_id, content, f"{path}/{CHANGED_FILE}")
    found = Evidence(lasting, sha256, verdict, changed)
    for name, figure in found.figures.items():
        tracking.log_figure(run_id, figure, f"{path}/{name}.png")
    return found


def read(run_id: str, path: str, sha256: str) -> Evidence:
    """The evidence of a run.

    Args:
        run_id: The run.
        path: Of the verdict, among the artifacts of the run.
        sha256: Of that file.

    Raises:
        EvaluationError: The run does not have it, or it was altered.
    """
    if (text := artifact_text(run_id, path)) is None:
        raise EvaluationError(f"Run {run_id} has no evidence {path}.")
    found = hashlib.sha256(text.encode()).hexdigest()
    if found != sha256:
        raise EvaluationError(f"The evidence {path} of run {run_id} was altered since the gate wrote it.")
    return Evidence(path, found, Verdict.model_validate_json(text))


def of_version(version: ModelVersion) -> Evidence | None:
    """The evidence that a version was registered on, as it is stored; None for a version without any.

    The rows that changed sides are found again in the stored rows:
    a later evaluation of the run replaces its table.

    Raises:
        EvaluationError: It is missing on the run, or was altered.
    """
    tags = version.tags
    if EVIDENCE_TAG not in tags:
        return None
    found = read(version.run_id, tags[EVIDENCE_TAG], tags.get(SHA256_TAG, ""))
    verdict = found.verdict
    if not (verdict.rows_sha256 and verdict.champion_rows_sha256):
        return found
    ours = read_rows(version.run_id, found.path, ROWS_FILE, verdict.rows_sha256)
    theirs = read_rows(version.run_id, found.path, CHAMPION_FILE, verdict.champion_rows_sha256)
    return replace(found, changed=changed_rows(ours, theirs, verdict.metric, verdict.higher_is_better))


def read_rows(run_id: str, path: str, name: str, sha256: str) -> JudgedRows:
    """Judged rows beside the verdict at `path`: `ROWS_FILE` or `CHAMPION_FILE`.

    Raises:
        EvaluationError: The run does not have them, or they are not those of the verdict,
            which has their `sha256`.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    place = rows_path(path, name, sha256)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            file = Path(mlflow.MlflowClient().download_artifacts(run_id, place, scratch))
        except Exception as error:  # object stores raise errors of their own
            raise EvaluationError(f"Run {run_id} has no rows {place}: {mask(str(error))}") from None
        if files.sha256(file) != sha256:
            raise EvaluationError(
                f"The rows {place} of run {run_id} are not those that the verdict was made of."
            )
        return rows_file.read(file)


def rows_path(path: str, name: str, sha256: str) -> str:
    """Judged rows beside the verdict at `path`. A later evaluation has other rows,
    and so files of other names."""
    return f"{path.rpartition('/')[0]}/{name}-{sha256[:12]}.parquet"


def run_tags(run_id: str) -> Mapping[str, str]:
    """The tags of a run."""
    import mlflow

    return mlflow.MlflowClient().get_run(run_id).data.tags


def tag(run_id: str, found: Evidence) -> None:
    """Name the gate's verdict and its evidence in the tags of a run;
    registration copies them to the version."""
    import mlflow
    from mlflow.entities import RunTag

    champion = found.verdict.champion
    tags = {
        CHAMPION_TAG: champion_tag(champion.version, champion.run_id) if champion else champion_tag(0, ""),
        GATE_TAG: "passed" if found.verdict.passed else "refused",
        OUTCOME_TAG: found.verdict.outcome or "none",
        METRIC_TAG: found.verdict.metric,
        EVIDENCE_TAG: found.path,
        SHA256_TAG: found.sha256,
    }
    mlflow.MlflowClient().log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])


def _log_rows(run_id: str, path: str, found: Mapping[str, JudgedRows | None]) -> dict[str, str]:
    """Log judged rows; their name -> SHA-256 of the file."""
    import mlflow

    digests: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for name, rows in found.items():
            if rows is None:
                continue
            try:
                rows_file.write(rows, file := Path(scratch) / f"{name}.parquet")
            except EvaluationError as error:  # predictions of a task of the user's own
                print(f"{file.name} is no part of the evidence. {error}")
                continue
            digests[name] = files.sha256(file)
            stored = file.rename(
                Path(scratch) / PurePosixPath(rows_path(f"{path}/", name, digests[name])).name
            )
            mlflow.MlflowClient().log_artifact(run_id, str(stored), path)
    return digests
