"""The interface of a task: how predictions of one kind are scored, drawn and compared with baselines.

Tasks are named in the ``task`` table of ``mlops_lib.plugins``; a new one is one file and one line there.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_lib.evaluation.report import Score

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mlops_lib.settings import Settings


#: Features of some rows to predictions of them, in the form that the task scores.
Predictor = Callable[[Any], "np.ndarray"]


class Task(ABC):
    """One kind of prediction.

    Args:
        settings: For a task whose metrics are chosen in config.yaml; most need none.

    Attributes:
        name: What it is called in the plugin table.
        metrics: Metric name -> whether higher is better; the gate reads the direction here.
    """

    name: ClassVar[str]
    metrics: ClassVar[dict[str, bool]]

    def __init__(self, settings: "Settings | None" = None) -> None:
        self.settings = settings

    @abstractmethod
    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score N predictions; a score's counts add up to N.

        Raises:
            EvaluationError: The two do not fit together, or hold values that cannot be scored.
        """

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """Further fields of the EvaluationReport: tables, notes, rows. Called after `score`."""
        return {}

    @abstractmethod
    def figures(self, y_true: Any, y_pred: Any, baselines: "Mapping[str, np.ndarray]") -> "dict[str, Figure]":
        """Draw what the scores leave out, by figure name; `baselines` are predictions for the same N rows."""

    @abstractmethod
    def fit_baselines(self, train_x: Any, train_y: Any, names: Sequence[str]) -> "dict[str, Predictor]":
        """Fit the named baselines on the training rows.

        Returns:
            For each of them what predicts rows of features.

        Raises:
            EvaluationError: There is no baseline of that name, or it cannot be fitted on these columns.
        """
