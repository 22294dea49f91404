"""The interface of a task: how predictions of one kind are scored and drawn.

Tasks are named in the ``task`` table of `mlops_lib.plugins`; a new one is one file and one line there.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from mlops_lib.evaluation.report import Score

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure

    from mlops_lib.settings import Settings


class Task(ABC):
    """One kind of prediction.

    Args:
        settings: ``evaluation.metrics`` and ``evaluation.metric`` choose the metrics; None:
            the task's defaults.
        classes: Classification: all classes, in the order of the columns of a prediction. Empty:
            those of the truth.
        weights: Weights of the N rows to score; None: all count the same.
        references: The columns of ``data.reference_columns`` of the N rows; empty: there are none.

    Attributes:
        name: Its name in the plugin table.
        metrics: Metric -> whether higher is better; the gate reads the direction from here.
        facts: What else is known about the N rows, by name, set before `score`: ``key`` (of each row,
            as text, where the data has a key), and what `facts_of` gives.
    """

    name: ClassVar[str]
    metrics: Mapping[str, bool]
    facts: Mapping[str, Any] = {}

    def __init__(
        self,
        settings: "Settings | None" = None,
        *,
        classes: Sequence[Any] = (),
        weights: Any = None,
        references: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.settings, self.classes, self.weights = settings, classes, weights
        self.references = references

    @classmethod
    def facts_of(cls, data_loader: Any, split: str, settings: "Settings") -> dict[str, Any]:
        """Facts about the rows of a split that the task needs beside truth and prediction: name -> N values.

        ``entity`` takes the place of the key where the gate draws rows again.
        Facts are stored with the judged rows.

        Args:
            data_loader: Has ``parts(split)`` and ``schema``.
            split: Name of the split that is judged.
            settings: Of the project.
        """
        return {}

    def check(self, y_true: Any) -> None:  # noqa: B027 - most tasks have nothing to check before the predictions
        """Check the truth and the columns of the reference, before the model is asked.

        Raises:
            EvaluationError: A value cannot be used.
        """

    @abstractmethod
    def score(self, y_true: Any, y_pred: Any) -> dict[str, Score]:
        """Score N predictions with each of `metrics`; the counts of a score add up to N.

        Raises:
            EvaluationError: Truth and predictions do not fit together, or hold values that cannot be scored.
        """

    def details(self, y_true: Any, y_pred: Any) -> dict[str, Any]:
        """Further fields of the EvaluationReport: tables, notes, per_row. Called after `score`."""
        return {}

    @abstractmethod
    def figures(self, y_true: Any, y_pred: Any, baselines: "Mapping[str, np.ndarray]") -> "dict[str, Figure]":
        """Figures by name; `baselines` are predictions for the same N rows."""
