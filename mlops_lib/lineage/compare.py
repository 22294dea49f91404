"""Compares a model that was made again with its version: files, predictions for the test rows, the metric."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlops_lib import files
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.wording import apart, listed

#: Files of a logged model that name its run, its time or its environment.
#: They differ between any two trainings.
OF_THE_RUN = {"MLmodel", "conda.yaml", "python_env.yaml", "requirements.txt", "registered_model_meta"}
Outcome = Literal["identical", "within tolerance", "different"]


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        outcome: The answer.
        predictions: A sentence about the predictions.
        files: A sentence about the model's files.
        largest: Largest difference of a prediction, as a share of the truth's range (probabilities: of 1);
            None for texts.
    """

    outcome: Outcome
    predictions: str
    files: str
    largest: float | None = None


def compare(
    before: JudgedRows | None, now: JudgedRows | None, folders: tuple[Path, Path], tolerance: float
) -> Comparison:
    """Compare the stored predictions and files of a version with new ones.

    Args:
        before, now: Predictions of the version, and of the model that was made again; None: there are none.
        folders: The files of the two models.
        tolerance: See `Comparison.largest`.
    """
    same, shown = _files(*folders)
    if before is None or now is None:
        whose = "the version" if before is None else "the new model"
        sentence = f"not compared: {whose} has no stored predictions"
        return Comparison("identical" if same else "different", sentence, shown)
    if list(before.ids) != list(now.ids):
        return Comparison("different", f"for other rows: {len(before.ids)} then, {len(now.ids)} now", shown)
    if list(before.classes) != list(now.classes):
        return Comparison("different", f"of other classes: {before.classes} then, {now.classes} now", shown)
    count = len(before.ids)
    is_text = before.task == "text"
    old, new = (None if is_text else _numbers(rows.predicted) for rows in (before, now))
    if old is None or new is None or old.shape != new.shape:
        changed = sum(bool(one != other) for one, other in zip(before.predicted, now.predicted, strict=True))
        outcome: Outcome = "different" if changed else "identical"
        return Comparison(outcome, f"{count - changed} of {count} are identical", shown)
    gaps = np.abs(new - old)
    gaps[np.isnan(old) & np.isnan(new)] = 0.0
    if not gaps.size or (gaps == 0).all():
        return Comparison("identical", f"all {count} are identical", shown, 0.0)
    largest = float(np.nan_to_num(gaps / _range(before), nan=math.inf).max())
    rows = int(np.any(gaps.reshape(count, -1) != 0, axis=1).sum())
    found, allowed = apart(largest, tolerance)
    sentence = f"{rows} of {count} differ, by {found} at most (tolerance {allowed})"
    return Comparison("within tolerance" if largest <= tolerance else "different", sentence, shown, largest)


def _files(before: Path, now: Path) -> tuple[bool, str]:
    """Whether two models have the same files, but for those of the run, and a sentence about them."""
    old, new = _digests(before), _digests(now)
    names = sorted({*old, *new})
    changed = [name for name in names if old.get(name) != new.get(name)]
    if not changed:
        return True, f"all {len(names)} are identical"
    return False, f"{len(names) - len(changed)} of {len(names)} are identical; not {listed(changed, 5)}"


def _digests(folder: Path) -> dict[str, str]:
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        name.as_posix(): files.sha256(path)
        for name, path in found.items()
        if name.as_posix() not in OF_THE_RUN and "__pycache__" not in name.parts
    }


def _numbers(predicted: Any) -> "np.ndarray | None":
    """Predictions as float64; None for texts."""
    try:
        return np.asarray(predicted, dtype=np.float64)
    except (TypeError, ValueError):
        return None


def _range(rows: JudgedRows) -> np.ndarray:
    """Distance of the largest from the smallest truth, of each label; of scores of a ranking and of losses;
    1 for classes."""
    of_task = {
        "regression": rows.truth,
        "multioutput": rows.truth,
        "forecast": rows.truth,
        "ranking": rows.predicted,
        "loss": rows.predicted,
    }
    truth = _numbers(of_task[rows.task]) if rows.task in of_task else None
    if truth is None or not truth.size:
        return np.ones(())
    spread = np.nanmax(truth, axis=0) - np.nanmin(truth, axis=0)
    return np.where(spread > 0, spread, 1.0)
