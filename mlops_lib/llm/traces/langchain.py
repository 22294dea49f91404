"""Traces of LangChain and LangGraph in MLflow."""

import logging
import os

log = logging.getLogger("mlops_lib")


def trace_to_experiment_of(run_id: str) -> None:
    """Send traces of LangChain and LangGraph to the experiment of a run; "": to the current experiment."""
    # MLflow would download prices from GitHub for each trace.
    os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")
    import mlflow
    from mlflow.exceptions import MlflowException

    if run_id:
        try:
            mlflow.set_experiment(experiment_id=mlflow.MlflowClient().get_run(run_id).info.experiment_id)
        except MlflowException as error:  # a model answers without its traces, when the server is away say
            log.warning("there will be no traces: run %s cannot be read: %s", run_id, error.message)
            return
    mlflow.langchain.autolog(run_tracer_inline=True, silent=True)
