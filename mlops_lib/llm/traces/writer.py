"""The process that writes traces to MLflow: one JSON object a line on standard input, until it ends."""

import json
import logging
import os
import sys
from collections.abc import Iterable
from typing import Any

from mlops_lib.redact.output import mask_output

log = logging.getLogger("mlops_lib")


def main(lines: Iterable[bytes]) -> None:
    """Write the trace of each line. One that MLflow does not take is logged, and the next is tried."""
    os.nice(10)  # answers come first
    # MLflow would download prices from GitHub for each trace.
    os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")
    os.environ["MLFLOW_ENABLE_ASYNC_TRACE_LOGGING"] = "false"
    import mlflow

    for line in lines:
        try:
            write(mlflow, json.loads(line))
        except Exception as error:  # the store may be away
            log.warning("a trace was not written: %s: %s", type(error).__name__, error)


def write(mlflow: Any, trace: dict[str, Any]) -> None:
    """Write one trace; see `mlops_lib.llm.traces.answers`."""
    span = mlflow.start_span_no_context(
        "llm",
        "CHAT_MODEL",
        inputs=trace["inputs"],
        experiment_id=trace["experiment_id"],
        start_time_ns=trace["began_ns"],
    )
    if usage := trace["usage"]:
        span.set_attribute("mlflow.chat.tokenUsage", {**usage, "total_tokens": sum(usage.values())})
    if trace["error"]:
        span.add_event(
            mlflow.entities.SpanEvent("exception", attributes={"exception.message": trace["error"]})
        )
    status = "ERROR" if trace["error"] else "OK"
    span.end(outputs=trace["outputs"], status=status, end_time_ns=trace["ended_ns"])


if __name__ == "__main__":
    mask_output()  # MLflow's errors quote the address of the store, with its password
    main(sys.stdin.buffer)
