"""A model's own answers as one prediction a row."""

from typing import Any

from mlops_lib.errors import ModelError


def by_row(predictions: Any) -> Any:
    """A DataFrame as an array (one column) or a list of dicts, a Series as an array;
    anything else as it is.

    Raises:
        ModelError: Two columns have one name, so that a dict would lose one of them.
    """
    if hasattr(predictions, "columns"):
        if len(names := list(predictions.columns)) == 1:
            return predictions.iloc[:, 0].to_numpy()
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise ModelError(f"its answer has several columns with the name {twice!r}.")
        return predictions.to_dict("records")
    return predictions.to_numpy() if hasattr(predictions, "to_numpy") else predictions


def joined(parts: list[tuple[list[int], Any]], rows: int) -> Any:
    """The predictions of several calls in the order of the rows.

    Args:
        parts: Numbers of the rows of each call, and its predictions.
        rows: Number of all rows.
    """
    if len(parts) == 1:
        return parts[0][1]
    found: list[Any] = [None] * rows
    for numbers, predictions in parts:
        if isinstance(predictions, dict):  # one list for each name
            predictions = [
                dict(zip(predictions, row, strict=True)) for row in zip(*predictions.values(), strict=True)
            ]
        if not hasattr(predictions, "__len__") or len(predictions) != len(numbers):
            return predictions  # not one a row: whoever counts them sees it
        for number, prediction in zip(numbers, predictions, strict=True):
            found[number] = prediction
    return found
