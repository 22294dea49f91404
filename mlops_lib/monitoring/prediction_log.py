"""Reads the service's prediction log, a folder of Parquet files, as one table."""

from pathlib import Path
from typing import TYPE_CHECKING

from mlops_lib.errors import MlopsError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

#: Columns of `predictions-*.parquet`. Files of older services lack the newer ones.
COLUMNS = (
    "time", "request_id", "key", "role", "model", "version", "run_id", "model_digest", "latency_ms",
    "request", "features", "freshness", "predictions", "finished",
)  # fmt: skip


def schema() -> "pa.Schema":
    """The columns with their types: texts, except time (UTC), version, latency and `finished`."""
    import pyarrow as pa

    types = {
        "time": pa.timestamp("us", "UTC"), "version": pa.int64(), "latency_ms": pa.float64(), "finished": pa.bool_(),
    }  # fmt: skip
    return pa.schema([(column, types.get(column, pa.string())) for column in COLUMNS])


def predictions(folder: Path) -> "ds.Dataset":
    """All predictions in the log. A column that a file lacks is null in its rows.

    Raises:
        MlopsError: The folder has no predictions.
    """
    import pyarrow.dataset as ds

    files = sorted(folder.glob("predictions-*.parquet"))
    if not files:
        raise MlopsError(
            f"{folder} has no predictions. The service writes them when serving.prediction_log names the folder."
        )
    return ds.dataset([str(file) for file in files], schema=schema(), format="parquet")
