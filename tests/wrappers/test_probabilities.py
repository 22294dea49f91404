"""Answers of an untrained network: scores where a classification needs probabilities are an error before the training."""

import numpy as np
import pytest

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.network.probabilities import require_probabilities

THREE = np.array([[0.2, 0.3, 0.5], [1.0, 0.0, 0.0]])


@pytest.mark.parametrize(
    ("answer", "classes"),
    [
        (np.array([0.0, 0.4, 1.0]), "ny"),
        (THREE, "abc"),
        (np.array([0.4, np.nan]), "ny"),
        (np.full((2, 3), np.nan), "abc"),
        (np.zeros((2, 5)), "ny"),  # an embedding, which another metric may judge
        (np.empty((2,), dtype=object), "ny"),
    ],
)
def test_probabilities_and_other_answers_pass(answer, classes) -> None:
    """In the form of the task; rows with missing numbers and other shapes are not judged."""
    require_probabilities("Net", answer, classes)


@pytest.mark.parametrize(
    ("answer", "classes", "remedy"),
    [
        (np.array([-0.3, 0.4]), "ny", r"Net.forward gives \[2\] from -0.3 to 0.4 .* P\('y'\), \[rows\]. .*sigmoid"),
        (np.array([[0.3], [0.4]]), "ny", r"squeeze"),
        (np.array([[0.3, 0.7], [0.5, 0.5]]), "ny", r"softmax\(-1\)\[:, 1\]"),
        (np.log(THREE[:1]), "abc", r"-1.61 to -0.693 .* each of the 3 classes.*softmax"),
        (THREE * 0.9, "abc", "sum 1"),
    ],
)  # fmt: skip
def test_scores_are_an_error_with_the_remedy(answer, classes, remedy) -> None:
    """Logits, log probabilities, a column too many, and rows that do not sum to 1."""
    with pytest.raises(TrainingError, match=remedy):
        require_probabilities("Net", answer, classes)
