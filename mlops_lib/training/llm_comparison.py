"""Compare an LLM evaluation with that of the champion: which parts and which answers changed."""

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import EvaluationError
from mlops_lib.evaluation import scored_with
from mlops_lib.evaluation.report import EvaluationReport
from mlops_lib.loaders.base import BaseDataLoader, Split
from mlops_lib.registry import ModelVersion, Registry
from mlops_lib.settings import Settings
from mlops_lib.settings.simulated_user import SimulatedUserSettings

if TYPE_CHECKING:
    import pandas as pd

#: On a run, with a part appended: the digest of that part.
DIGEST_TAG = "mlops.digest."
#: Parts that decide the result of an evaluation: three of the model, two of the evaluation.
PARTS = ("graph", "prompts", "config", "dataset", "judge")


def model_digests(package: Path) -> dict[str, str]:
    """Run tags with the digests of prompts.yaml, config.json, and all other files (graph) of a package."""
    parts = {part: hashlib.sha256() for part in ("graph", "prompts", "config")}
    of_file = {"prompts.yaml": "prompts", "config.json": "config"}
    for file in sorted(p for p in package.rglob("*") if p.is_file()):
        name = file.relative_to(package).as_posix()
        parts[of_file.get(name, "graph")].update(name.encode() + b"\0" + file.read_bytes())
    return {f"{DIGEST_TAG}{part}": digest.hexdigest() for part, digest in parts.items()}


def current_digests(config: Settings, run_id: str, data_loader: BaseDataLoader) -> dict[str, str]:
    """Part -> digest of an evaluation of the model of `run_id` with these settings and data."""
    of_model = recorded_digests(run_id) if run_id else dict.fromkeys(PARTS, "")
    chosen = config.evaluation
    # What has its default is left out, so that the digests of runs from before the setting stay.
    defaults: dict[str, Any] = {
        "judge_max_tokens": 0,
        "judge_temperature": None,
        "language": "auto",
        "json_schema": "",
        "rubrics": {},
        "simulated_user": SimulatedUserSettings().model_dump(mode="json"),
    }
    asked = chosen.model_dump(mode="json")
    more = {name: asked[name] for name, default in defaults.items() if asked[name] != default}
    if chosen.json_schema:
        more["json_schema"] = scored_with.json_schema(config)
    judge = json.dumps([chosen.metrics, chosen.judge, chosen.embeddings, *([more] if more else [])])
    return of_model | {
        "dataset": data_loader.fingerprint(),
        "judge": hashlib.sha256(judge.encode()).hexdigest(),
    }


def recorded_digests(run_id: str) -> dict[str, str]:
    """Part -> digest in the tags of a run; "" for a part without a tag."""
    import mlflow

    tags = mlflow.MlflowClient().get_run(run_id).data.tags
    return {part: tags.get(f"{DIGEST_TAG}{part}", "") for part in PARTS}


def changed_parts(before: dict[str, str], now: dict[str, str]) -> str:
    """Names of the parts with another digest; "" if there is none."""
    return ", ".join(part for part in PARTS if before[part] != now[part])


def comparison_table(
    config: Settings, run_id: str, split: Split, report: EvaluationReport, digests: dict[str, str]
) -> "dict[str, pd.DataFrame]":
    """Title -> table of the rows that differ from an earlier version;
    empty if there is nothing to compare."""
    if (before := previous_version(config, run_id)) is None or report.per_row is None:
        return {}
    if (rows := recorded_rows(before.run_id, split)) is None:
        return {}
    then = {part: before.tags.get(f"{DIGEST_TAG}{part}", "") for part in PARTS}
    changed = changed_parts(then, digests) or "nothing"
    metric = config.evaluation.metric
    table = compare_rows(rows, report.per_row, metric, report.directions[metric])
    return {
        f"Against version {before.version} (changed: {changed}): {len(table)} of {report.rows} rows differ": table
    }


def previous_version(config: Settings, run_id: str) -> ModelVersion | None:
    """The version at Production, else the newest one; None if there is no version of another run."""
    others = [one for one in Registry(config).versions(config.model.name) if one.run_id != run_id]
    return next((one for one in others if one.stage == "Production"), next(iter(others), None))


def recorded_rows(run_id: str, split: Split) -> "pd.DataFrame | None":
    """The judged rows of an evaluation; None if the run has none."""
    import pandas as pd

    text = artifact_text(run_id, f"evaluation/{split}/rows.json")
    return None if text is None else pd.DataFrame(**{k: json.loads(text)[k] for k in ("columns", "data")})


def compare_rows(
    before: "pd.DataFrame", now: "pd.DataFrame", metric: str, higher_is_better: bool
) -> "pd.DataFrame":
    """Rows whose answer or score changed: first those that lost their score, then the largest loss.

    Rows are matched by their input; of equal inputs the first with the first, the second with the second.
    A row that has a score in one evaluation alone has no `change`.
    """
    wanted = ["input", "output", "error", metric]
    if any(column not in frame for frame in (before, now) for column in wanted):
        return now.iloc[:0]
    first, second = (frame[wanted].assign(nth=frame.groupby("input").cumcount()) for frame in (before, now))
    both = first.merge(second, on=["input", "nth"], how="outer", suffixes=(" before", " now")).drop(
        columns="nth"
    )
    then, since = (both[f"{metric} {when}"].astype(float) for when in ("before", "now"))
    both["change"] = since - then
    different = (both["change"].abs() > 1e-9) | (then.isna() != since.isna())
    for name in ("output", "error"):
        different |= both[f"{name} before"].fillna("") != both[f"{name} now"].fillna("")
    gain = both["change"] if higher_is_better else -both["change"]
    order = gain.mask(since.isna() & then.notna(), -float("inf"))
    return both.loc[order[different].sort_values(kind="stable").index].reset_index(drop=True)


def artifact_text(run_id: str, path: str) -> str | None:
    """The text of an artifact; None if the run does not have it.

    Raises:
        EvaluationError: The artifact cannot be read.
    """
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")  # a bar for one small file
    import mlflow
    from mlflow.exceptions import MlflowException

    folder, _, name = path.rpartition("/")
    try:
        if path not in {item.path for item in mlflow.MlflowClient().list_artifacts(run_id, folder)}:
            return None
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=path)).read_text("utf-8")
    except MlflowException as error:
        raise EvaluationError(f"Cannot read {name} of run {run_id}: {error.message}") from None
