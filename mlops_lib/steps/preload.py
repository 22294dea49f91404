"""The packages that steps and their kernels import, loaded ahead in a process that then waits."""

import gc
import importlib
import os
import sys
from collections.abc import Iterator

from mlops_lib import plugins
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, MLFLOW_PYTORCH_EXTRAS, without
from mlops_lib.settings import Settings

#: What a kernel and the notebooks of this project import, in the order in which a notebook needs it.
KERNEL = (
    "ipykernel.kernelapp",
    "pandas",
    "pandas.io.formats.style",
    "pyarrow.parquet",
    "pandera.pandas",
    "pandera.backends.pandas",
    "mlops_lib.data_checks.declared",
    "mlflow",
    "mlflow.pyfunc.loaders",
    "git",
    "matplotlib_inline.backend_inline",
    "scrapbook",
    "mlops_lib.wrappers.interface",
)
#: What MLflow imports on first use of a store that is a database.
STORE = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
#: What the process of a step imports on top.
STEP = ("papermill", "nbconvert", "mlops_lib.notebooks")
#: ipykernel's own default. Matplotlib reads it once, on import.
MATPLOTLIB_BACKEND = ("MPLBACKEND", "module://matplotlib_inline.backend_inline")


def chosen(settings: Settings) -> tuple[str, ...]:
    """The slow packages of the implementations that the settings name; none of the user's own.

    The user's own modules are never loaded ahead: they may do anything on import.
    """
    names = {"wrapper": settings.model.wrapper, "task": settings.evaluation.task}
    rows = [plugins.TABLE[kind].get(name) for kind, name in names.items()]
    return tuple(module for row in rows if row for module in (*row.imports, row.path.partition(":")[0]))


def leave_current_folder() -> None:
    """Let no module in the current folder hide a package; a Jupyter kernel does the same before its imports."""
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]


def each(modules: tuple[str, ...]) -> Iterator[str]:
    """Import the modules one after another and yield the name of each, so that the caller can stop between two.

    A module that cannot be imported is skipped: the notebook that needs it reports the error.
    """
    name, backend = MATPLOTLIB_BACKEND
    gc.disable()  # imports make many objects and no garbage
    try:
        for module in modules:
            unset = os.environ.setdefault(name, backend) and name not in os.environ
            try:
                with without(JSON_SCHEMA_EXTRAS), without(MLFLOW_PYTORCH_EXTRAS):
                    importlib.import_module(module)
            except Exception:
                continue
            finally:
                if unset:
                    del os.environ[name]
            yield module
    finally:
        gc.enable()
