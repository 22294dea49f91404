"""MLflow runs: connection (`store`), life (`runs`), content (`run_data`) and origin (`lineage`)."""

from mlops_lib.tracking.database import sqlite_file
from mlops_lib.tracking.lineage import lineage, list_tag, read_list_tag
from mlops_lib.tracking.run_data import (
    artifact_location,
    choice,
    describe_run,
    history,
    keep_text,
    log_choice,
    log_dataset,
    log_figure,
    log_outputs,
    log_params,
    log_text,
    log_values,
)
from mlops_lib.tracking.runs import (
    ARGUMENTS_TAG,
    MODEL_TAG,
    PARENT_TAG,
    RUN_ID_ENV,
    STEP_TAG,
    WARM_START_TAG,
    arguments_of,
    child_run,
    end,
    end_children,
    ended,
    latest_run,
    open_parent,
    reopen_parent,
    status_after,
)
from mlops_lib.tracking.store import (
    STORE_ENV,
    check_artifacts,
    connect,
    made_meanwhile,
    tracking_uri,
    use_store,
)

__all__ = [
    "ARGUMENTS_TAG", "MODEL_TAG", "PARENT_TAG", "RUN_ID_ENV", "STEP_TAG", "STORE_ENV", "WARM_START_TAG",
    "arguments_of", "artifact_location", "check_artifacts", "child_run", "choice", "connect", "describe_run", "end",
    "end_children", "ended", "history", "keep_text", "latest_run", "lineage", "list_tag", "log_choice", "log_dataset", "log_figure",
    "log_outputs", "log_params", "log_text", "log_values", "made_meanwhile", "open_parent", "read_list_tag", "reopen_parent", "sqlite_file", "status_after", "tracking_uri",
    "use_store",
]  # fmt: skip
