"""A model's own example: answered before the model is served."""

from collections.abc import Callable
from typing import Any

from mlops_lib.errors import MlopsError, ModelError
from mlops_lib.wrappers.interface import ModelWrapper
from serving.inference.json_values import as_sent
from serving.inference.predictions import WRONG_COUNT, as_list, require_finite
from serving.web.problems import Problem


def answer_example(wrapper: ModelWrapper, predict: Callable[[Any], Any], model: str) -> Any:
    """Let a model answer the example it was logged with.

    A wrapper that takes whole requests gets nothing else from now on if the answer
    is not one prediction a row.

    Args:
        predict: Predictions for the example.
        model: Name and version, for the error.

    Returns:
        The example's first row, as a caller would send it; None without one.

    Raises:
        ModelError: It does not answer.
    """
    try:
        if (example := wrapper.example()) is not None and hasattr(example, "__len__"):
            _, bad = as_list(predict(example), len(example))
            require_finite(bad, 0, len(example))
    except MlopsError:
        raise
    except Exception as error:  # a model's code may raise anything
        if isinstance(error, Problem) and error.code == WRONG_COUNT and wrapper.whole_requests != "never":
            wrapper.whole_requests = "always"
        else:
            what = str(error) if isinstance(error, Problem) else f"{type(error).__name__}: {error}"
            raise ModelError(f"{model} does not answer the example it was logged with: {what}") from error
    return as_sent(example[0]) if isinstance(example, list) and example else None
