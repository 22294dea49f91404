"""A model's answer to the example that was logged with it, before any caller gets one."""

from typing import Any

from mlops_lib.wrappers.interface import ModelWrapper
from serving.inference.json_values import as_sent
from serving.inference.predictions import WRONG_COUNT, as_list, require_finite
from serving.web.problems import Problem


def first_of_example(wrapper: ModelWrapper) -> Any:
    """Let a model answer its example; the example's first row as a caller would send it, None without an example.

    Where the answer is not one prediction a row, and the wrapper takes whole requests, it gets nothing else from now on.

    Raises:
        Problem: The model's answer has the wrong form.
        Exception: Whatever the model raises.
    """
    if (example := wrapper.example()) is None or not hasattr(example, "__len__"):
        return None
    try:
        _, bad = as_list(wrapper.predict(example), len(example))
        require_finite(bad, 0, len(example))
    except Problem as problem:
        if problem.code != WRONG_COUNT or wrapper.whole_requests == "never":
            raise
        wrapper.whole_requests = "always"
    return as_sent(example[0]) if isinstance(example, list) and example else None
