"""Traces of LangChain and LangGraph in MLflow."""

import os


def trace_to_experiment_of(run_id: str) -> None:
    """Send traces of LangChain and LangGraph to the experiment of a run; "": to the current experiment."""
    # MLflow would download prices from GitHub for each trace.
    os.environ.setdefault("MLFLOW_MODEL_CATALOG_URI", "")
    import mlflow

    if run_id:
        mlflow.set_experiment(experiment_id=mlflow.MlflowClient().get_run(run_id).info.experiment_id)
    mlflow.langchain.autolog(run_tracer_inline=True, silent=True)
