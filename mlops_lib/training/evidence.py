"""The gate's evidence on a model's run: verdict, judged rows, rows that changed sides, and the plot of differences.

`evaluation/<split>/` of the run has the evidence of its evaluation, `promotion/<time>/` that of a promotion.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mlops_lib import files, tracking
from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.report import Verdict
from mlops_lib.redact import mask_secrets
from mlops_lib.registry import GATE_TAG
from mlops_lib.training import rows_file

GATE_FILE, ROWS_FILE, CHAMPION_FILE = "gate.json", "rows.parquet", "champion_rows.parquet"
#: On a run and on its version: path of the verdict among the run's artifacts, its SHA-256, and the outcome.
EVIDENCE_TAG, SHA256_TAG, OUTCOME_TAG = "mlops.evidence", "mlops.evidence_sha256", "mlops.outcome"


@dataclass(frozen=True)
class Evidence:
    """Evidence as it is stored.

    Attributes:
        path: Of the verdict, among the artifacts of the run.
        sha256: Of that file.
        rows: Of the model; None if they were not stored.
        champion_rows: Of the version it was compared with; None without a comparison.
    """

    path: str
    sha256: str
    verdict: Verdict
    rows: JudgedRows | None = None
    champion_rows: JudgedRows | None = None


def folder(split: str) -> str:
    """Where the evidence of an evaluation is, among the artifacts of the model's run."""
    return f"evaluation/{split}"


def log(run_id: str, path: str, verdict: Verdict, rows: JudgedRows | None) -> Evidence:
    """Log the evidence of a decision below `path` of a run, and name it in the tags of the run.

    The verdict is stored twice: as ``gate.json``, which the next evaluation replaces, and under a name with its own
    digest, which stays: a registered version names that file.
    """
    import mlflow

    client = mlflow.MlflowClient()
    with tempfile.TemporaryDirectory() as scratch:
        digests = {}
        for name, judged in {ROWS_FILE: rows}.items():
            if judged is None:
                continue
            try:
                rows_file.write(judged, file := Path(scratch) / name)
            except EvaluationError as error:  # predictions of a task of the user's own
                print(f"{name} is no part of the evidence. {error}")
                continue
            digests[name] = files.sha256(file)
            client.log_artifact(run_id, str(file), path)
    verdict = verdict.model_copy(update={"rows_sha256": digests.get(ROWS_FILE, "")})
    text = mask_secrets(verdict.model_dump_json(indent=2))
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    lasting = f"{path}/gate-{sha256[:12]}.json"
    for name in (f"{path}/{GATE_FILE}", lasting):
        tracking.log_text(run_id, text, name)
    return Evidence(lasting, sha256, verdict, rows)


def tag(run_id: str, found: Evidence) -> None:
    """Name the gate's verdict and its evidence in the tags of a run; registration copies them to the version."""
    import mlflow
    from mlflow.entities import RunTag

    tags = {
        GATE_TAG: "passed" if found.verdict.passed else "refused",
        OUTCOME_TAG: found.verdict.outcome or "none",
        EVIDENCE_TAG: found.path,
        SHA256_TAG: found.sha256,
    }
    mlflow.MlflowClient().log_batch(run_id, tags=[RunTag(name, text) for name, text in tags.items()])
