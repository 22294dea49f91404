"""The content of a run: parameters, metrics, outputs, datasets and texts, and where a user finds them."""

import json
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.request import url2pathname

from mlops_lib.redact import mask, mask_secrets, without_password
from mlops_lib.settings import Section, Settings
from mlops_lib.tracking.store import connect, tracking_uri

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure
    from mlflow.entities import Run

#: File of a training run: the learners of a model without epochs.
CHOICE_FILE = "learners.json"


def log_params(run_id: str, sections: Mapping[str, Section]) -> None:
    """Log each setting of some sections as ``section.key``; a nested setting is one value."""
    import mlflow
    from mlflow.entities import Param

    params = [
        Param(f"{section}.{key}", mask_secrets(str(value)))
        for section, settings in sections.items()
        for key, value in settings.model_dump().items()
    ]
    mlflow.MlflowClient().log_batch(run_id, params=params)


def log_outputs(run_id: str, step: str, outputs: Mapping[str, bool | int | float | str | None]) -> None:
    """Log a step's outputs to the parent run: numbers as metrics, texts and booleans as tags;
    None is left out."""
    texts = {
        name: mask_secrets(str(value)) for name, value in outputs.items() if isinstance(value, bool | str)
    }
    numbers = {n: float(value) for n, value in outputs.items() if value is not None and n not in texts}
    log_values(run_id, numbers, texts, f"{step}.")


def log_values(
    run_id: str, numbers: Mapping[str, float], texts: Mapping[str, str] | None = None, prefix: str = ""
) -> None:
    """Log metrics and tags in one transaction, or in as few as MLflow's limits allow.

    Args:
        run_id: The run.
        numbers: Metric -> value.
        texts: Tag -> value.
        prefix: Before each name.
    """
    import mlflow
    from mlflow.entities import Metric, RunTag

    now = int(time.time() * 1000)
    metrics = [Metric(prefix + name, float(value), now, 0) for name, value in numbers.items()]
    tags = [RunTag(prefix + name, text) for name, text in (texts or {}).items()]
    mlflow.MlflowClient().log_batch(run_id, metrics, tags=tags)


def log_dataset(
    settings: Settings,
    run_id: str,
    name: str,
    context: str,
    digest: str,
    source: str,
    profile: str,
    columns: str = "",
) -> None:
    """Log a dataset as an input of a run.

    Args:
        settings: Resolved settings.
        run_id: The run; empty: nothing is logged.
        name: Name of the dataset.
        context: What the run uses the dataset for: train, validation, test.
        digest: Fingerprint; MLflow stores the first 36 characters.
        source: Address of the data.
        profile: Facts about the data, as JSON.
        columns: MLflow's description of the columns, as JSON; one longer than MLflow stores is left out.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag
    from mlflow.utils.validation import MAX_DATASET_SCHEMA_SIZE

    if not run_id:
        return
    schema = columns if 0 < len(columns.encode()) <= MAX_DATASET_SCHEMA_SIZE else None
    uri = json.dumps({"uri": mask(source)})
    dataset = Dataset(name, digest[:36], "local", uri, schema, profile)
    tag = InputTag("mlflow.data.context", context)
    connect(settings).log_inputs(run_id, [DatasetInput(dataset, [tag])])


def log_text(run_id: str, text: str, path: str) -> None:
    """Log a text as an artifact of a run, without secrets: an error may be in any report."""
    import mlflow

    mlflow.MlflowClient().log_text(run_id, mask_secrets(text), path)


def log_figure(run_id: str, figure: "Figure", path: str) -> None:
    """Log a figure as a PNG file of a run; one that has its PNG already
    (`NotebookFigure`) is not drawn again."""
    import mlflow

    client, drawn = mlflow.MlflowClient(), getattr(figure, "png", None)
    if drawn is None:
        client.log_figure(run_id, figure, path)
        return
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PurePosixPath(path).name
        file.write_bytes(drawn)
        client.log_artifact(run_id, str(file), str(PurePosixPath(path).parent))


def keep_text(settings: Settings, run_id: str, text: str, path: str) -> str:
    """Save a text as an artifact of a run (empty: in the work folder), and return its location."""
    if not run_id:
        file = settings.path(settings.pipeline.work_dir) / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(mask_secrets(text), encoding="utf-8")
        return str(file)
    client = connect(settings)
    log_text(run_id, text, path)
    return artifact_location(client.get_run(run_id), path)


def history(run_id: str, metrics: Sequence[str]) -> dict[str, list[tuple[int, float]]]:
    """(step, value) pairs of each metric of a run, in order; an empty list for an unknown metric."""
    import mlflow

    client = mlflow.MlflowClient()
    return {
        name: sorted((m.step, m.value) for m in client.get_metric_history(run_id, name)) for name in metrics
    }


def log_choice(learners: Sequence[Mapping[str, int | float | str]]) -> None:
    """Log a line for each learner that a model without epochs consists of, to the active run."""
    import mlflow

    mlflow.log_dict({"learners": [dict(one) for one in learners]}, CHOICE_FILE)


def choice(run_id: str) -> "pd.DataFrame":
    """The learners of a model without epochs, a line each; empty for a model that logs none."""
    import mlflow
    import pandas as pd

    if CHOICE_FILE not in [one.path for one in mlflow.MlflowClient().list_artifacts(run_id)]:
        return pd.DataFrame()
    return pd.DataFrame(mlflow.artifacts.load_dict(f"runs:/{run_id}/{CHOICE_FILE}")["learners"])


def artifact_location(run: "Run", path: str) -> str:
    """The location of an artifact: a file of an embedded store, else a URI."""
    uri = f"{run.info.artifact_uri}/{path}"
    return url2pathname(uri.removeprefix("file://")) if uri.startswith("file:///") else uri


def describe_run(settings: Settings, run_id: str) -> str:
    """The address of a run in MLflow's UI; for an embedded store, the run id and how to start the UI."""
    uri = tracking_uri(settings)
    if uri.startswith("http"):
        experiment_id = connect(settings).get_run(run_id).info.experiment_id
        return f"{without_password(uri).rstrip('/')}/#/experiments/{experiment_id}/runs/{run_id}"
    return f"run {run_id} (see it with: {settings.command('ui')})"
