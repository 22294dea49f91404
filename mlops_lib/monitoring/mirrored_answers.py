"""Reads the answers of champion and challenger to the same requests from the prediction log,
the newest file first."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from mlops_lib.monitoring.mirrored import CHAMPION, MIRROR, MirroredRequests, among, request_digests
from mlops_lib.monitoring.prediction_log import PredictionLog, read_json

READ = ("request_id", "key", "role", "request", "features", "predictions", "error")


class Answers(NamedTuple):
    """One request and the answers of both versions.

    Attributes:
        caller: Name of the caller's API key; "" without keys.
        rows: The request's rows, with the features that were looked up.
        champion, challenger: One prediction a row; None where the challenger failed.
        error: Why it failed; "" if it answered.
    """

    request_id: str
    caller: str
    rows: list[Any]
    champion: list[Any]
    challenger: list[Any]
    error: str


def mirrored_answers(
    log: PredictionLog, requests: MirroredRequests, wanted: np.ndarray, output: str = ""
) -> Iterator[Answers]:
    """The answers to some of the requests: those whose digests are in `wanted`, uint64.

    A request whose answers are not one a row, or lack the output, has an empty list of rows.

    Args:
        output: The output to read, of models that give several; "": the whole prediction.
    """
    import pyarrow.compute as pc

    wanted = np.sort(wanted)
    halves: dict[tuple[str, str], dict[str, Any]] = {}
    failed = set(requests.ids[requests.failed].tolist())
    roles = pc.field("role").isin([CHAMPION, MIRROR])
    for batch in log.read("predictions", READ, roles, newest_first=True):
        digests = request_digests(batch)
        mask = among(digests, wanted)
        for digest, row in zip(digests[mask].tolist(), batch.filter(mask).to_pylist(), strict=True):
            request = row["request_id"], row["key"] or ""
            if (other := halves.pop(request, None)) is None:
                halves[request] = row
                continue
            champion, challenger = (row, other) if row["role"] == CHAMPION else (other, row)
            yield _answers(request, champion, challenger, digest in failed, output)


def _answers(
    request: tuple[str, str], champion: dict[str, Any], challenger: dict[str, Any], failed: bool, output: str
) -> Answers:
    rows, ours = read_json(champion, "request"), _read(champion, output)
    theirs = [None] * len(rows) if failed else _read(challenger, output)
    one_each = isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs) == len(rows)
    if not one_each:
        return Answers(*request, [], [], [], "")
    if champion["features"]:
        looked_up = read_json(champion, "features")
        rows = [{**more, **row} for row, more in zip(rows, looked_up, strict=True)]
    return Answers(*request, rows, ours, theirs, challenger["error"] or "")


def _read(row: dict[str, Any], output: str) -> Any:
    """Predictions as logged, or one output of each; None if one lacks it."""
    found = read_json(row, "predictions")
    if not output or not isinstance(found, list):
        return found
    named = [row[output] for row in found if isinstance(row, dict) and output in row]
    return named if len(named) == len(found) else None
