"""Rows as one matrix: a whole batch is encoded and predicted in one step."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from mlops_lib.columns.encode import BadValue
from mlops_lib.wrappers.interface import ModelWrapper

#: Longest computation on the event loop: about twice the cost of handing a batch to a thread and back.
INLINE_S = 200e-6
MEASURED_ROWS = 64


class MatrixModel:
    """A model that takes a matrix, for rows of values.

    Args:
        wrapper: Its encoder, if it has one, turns the raw values into numbers.
        columns: The model's columns, in order.
    """

    def __init__(self, wrapper: ModelWrapper, columns: Sequence[str]) -> None:
        self._wrapper, self._columns = wrapper, columns
        encoder = wrapper.encoder
        self._dtype = wrapper.matrix_dtype
        # A plain encoder changes no number, and refuses those beyond 32-bit floats, as this class does.
        skipped = encoder is None or (encoder.is_plain and self._dtype is np.float32)
        self._encoder = None if skipped else encoder

    def __call__(self, rows: Sequence[tuple[Any, ...]]) -> Any:
        """Predictions for rows of values, in the order of the columns.

        Raises:
            BadValue: A value does not fit its column.
        """
        with np.errstate(over="ignore"):
            if self._encoder:
                matrix = self._encoder.encode(rows).astype(self._dtype, copy=False)
            else:
                matrix = np.array(rows, dtype=self._dtype)
        if np.isinf(matrix).any():
            raise self._too_large(matrix, rows)
        return self._wrapper.predict(matrix)

    def inline_rows(self, example: tuple[Any, ...] | None) -> int:
        """Rows that a straight-line model computes within `INLINE_S`; 0 if that is not known.

        Texts are not encoded on the event loop, whatever the example: a long one takes as long as many rows.

        Args:
            example: Values of a row, which an encoder needs.
        """
        if not (self._wrapper.straight_line and self._columns):
            return 0
        if self._encoder and (not example or "text" in self._encoder.schema.kinds.values()):
            return 0
        one = self._least_seconds(example, 1)
        if one >= INLINE_S:
            return 0
        per_row = max(self._least_seconds(example, MEASURED_ROWS) - one, 1e-9) / (MEASURED_ROWS - 1)
        return int((INLINE_S - one) / per_row)

    def _least_seconds(self, example: tuple[Any, ...] | None, rows: int) -> float:
        return min(self._seconds(example, rows) for _ in range(20))

    def _seconds(self, example: tuple[Any, ...] | None, rows: int) -> float:
        """Processor time of this thread for a batch."""
        call: Any = self if self._encoder else self._wrapper.predict
        batch: Any = [example] * rows if self._encoder else np.ones((rows, len(self._columns)), self._dtype)
        began = time.thread_time()
        call(batch)
        return time.thread_time() - began

    def _too_large(self, matrix: np.ndarray, rows: Sequence[tuple[Any, ...]]) -> BadValue:
        row, at = (int(index) for index in np.argwhere(np.isinf(matrix))[0])
        name = self._encoder.outputs[at].source if self._encoder else self._columns[at]
        return BadValue(
            row, name, rows[row][list(self._columns).index(name)], "within the range of 32-bit floats"
        )
