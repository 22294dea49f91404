"""The metrics that a network logged in its epochs, for the report of its evaluation."""

from typing import TYPE_CHECKING

from mlops_lib.loaders.base import SPLITS

if TYPE_CHECKING:
    import pandas as pd

TITLE = "Training: the module's own metrics"


def tables(run_id: str) -> "dict[str, pd.DataFrame]":
    """A table with every metric in the epoch whose weights were kept and in the last one;
    none without epochs.

    Args:
        run_id: Run of the model.
    """
    import mlflow
    import pandas as pd

    client = mlflow.MlflowClient()
    found = client.get_run(run_id).data.metrics if run_id else {}
    if not {"val_loss", "epoch"} <= set(found):
        return {}
    judged = tuple(f"{split}." for split in SPLITS)
    names = [name for name in found if name != "epoch" and not name.startswith(judged)]
    curves = {name: {m.step: m.value for m in client.get_metric_history(run_id, name)} for name in names}
    losses = curves["val_loss"]
    kept, last = min(losses, key=lambda step: losses[step]), max(losses)
    rows = [(name, curves[name].get(kept), curves[name].get(last)) for name in sorted(names)]
    return {TITLE: pd.DataFrame(rows, columns=["metric", "kept epoch", "last epoch"])}
