"""One call of the model for the rows of several callers. One caller's rows cannot fail those of another."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from serving.blocking_calls import Interrupted
from serving.inference.json_values import builtins
from serving.inference.predictions import checked
from serving.isolation.failures import failed
from serving.isolation.messages import Answers, Batch
from serving.isolation.wire import Part

Frame = Callable[[Answers], list[Part]]


def answer(predict: Callable[[list[Any]], Any], batch: Batch, frame: Frame) -> list[Part]:
    """The frame of the answers. When the call fails, or its answer cannot be sent, each job is tried alone.

    Args:
        frame: Makes the frame of a message; raises when a value cannot be sent.

    Raises:
        Interrupted: SIGUSR1 came.
    """
    call, jobs, began = batch.id, batch.jobs, time.perf_counter()
    try:
        predictions, bad = _predictions(predict, [row for rows in jobs for row in rows])
        return frame(Answers(call, predictions, bad, {}, time.perf_counter() - began))
    except Interrupted:
        raise
    except BaseException as error:  # a model may raise anything, SystemExit too
        if len(jobs) == 1:
            return frame(Answers(call, [], [], {0: failed(call, error)}, time.perf_counter() - began))
    answered, bad, failures = [], [], {}
    rows_before = 0
    for number, rows in enumerate(jobs):
        try:
            predictions, its_bad = _predictions(predict, list(rows))
            frame(Answers(call, predictions, [], {}, 0.0))
        except Interrupted:
            raise
        except BaseException as error:
            failures[number] = failed(call, error)
        else:
            # A copy: a model may return the same array, with new numbers in it, for the next job.
            answered.append(predictions.copy() if isinstance(predictions, np.ndarray) else predictions)
            bad += [rows_before + place for place in its_bad]
            rows_before += len(rows)
    return frame(Answers(call, _together(answered), bad, failures, time.perf_counter() - began))


def _predictions(predict: Callable[[list[Any]], Any], rows: list[Any]) -> tuple[Any, list[int]]:
    predictions, bad = checked(predict(rows), len(rows))
    return predictions if isinstance(predictions, np.ndarray) else builtins(predictions), bad


def _together(parts: list[Any]) -> Any:
    arrays = [part for part in parts if isinstance(part, np.ndarray)]
    if arrays and len(arrays) == len(parts) and len({(one.dtype, one.shape[1:]) for one in arrays}) == 1:
        return np.concatenate(arrays)
    return [row for part in parts for row in (part.tolist() if isinstance(part, np.ndarray) else part)]
