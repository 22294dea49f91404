"""The MLflow run around a training: opened below its parent, described, and ended."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlops_lib import loaders, tracking
from mlops_lib.data_checks import named_columns
from mlops_lib.lineage.capture import capture
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.settings import Settings

#: On a run: the fingerprint of the data it trained on.
FINGERPRINT_TAG = "mlops.data_fingerprint"
#: On a run: number and kinds of the features. The artifact columns.json has the whole schema.
COLUMNS_TAG = "mlops.columns"


@contextmanager
def training_run(
    data_loader: BaseDataLoader, config: Settings, parent_run_id: str, tags: Mapping[str, str]
) -> Iterator[str]:
    """Open a run for a training, log lineage, parameters and datasets, make it MLflow's current experiment;
    give its id.

    Args:
        data_loader: Rows with a label.
        config: The `model` and `train` sections are logged.
        parent_run_id: Parent run; empty: none.
        tags: Tags of the run, beside those of the data.

    Raises:
        MlopsError: The gate's slices name a column that is not there;
            or MLflow or the object store of its artifacts cannot be reached.
    """
    import mlflow

    named_columns.require_slices(config, data_loader.schema)  # the gate would find it after the training
    of_data = {FINGERPRINT_TAG: data_loader.fingerprint(), COLUMNS_TAG: data_loader.schema.summary()}
    with tracking.child_run(
        config, "train-model", parent_run_id, {**tags, **of_data, **data_loader.tags}
    ) as run:
        tracking.check_artifacts(run)
        run_id = run.info.run_id
        capture(
            config, run_id, parent_run_id, {"fingerprint": data_loader.fingerprint(), **data_loader.origin}
        )
        tracking.log_params(run_id, {"model": config.model, "train": config.train})
        loaders.log_inputs(config, data_loader, run_id, "train", "validation")
        # MLflow starts a run only in the run's own experiment, which is the one of the parent.
        mlflow.set_experiment(experiment_id=run.info.experiment_id)
        yield run_id
