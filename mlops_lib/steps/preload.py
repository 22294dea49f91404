"""The packages that steps and their kernels import, loaded ahead in a process that then waits."""

import contextlib
import gc
import importlib
import os
import sys
import time
from collections.abc import Iterator, Mapping

from mlops_lib import plugins, tracking
from mlops_lib.imports import JSON_SCHEMA_EXTRAS, MLFLOW_PYTORCH_EXTRAS, without
from mlops_lib.settings import Settings

#: Imported by a kernel and the notebooks of this project, in the order in which the first step needs them.
KERNEL = (
    "ipykernel.kernelapp",
    "ipykernel.debugger",
    "pandas",
    "pandas.io.formats.style",
    "pyarrow.parquet",
    "pandera.pandas",
    "pandera.backends.pandas.builtin_checks",
    "mlops_lib.data_checks.declared",
    "mlflow",
    "mlflow.pyfunc.loaders",
    "git",
    "matplotlib_inline.backend_inline",
    "scrapbook",
    "mlops_lib.wrappers.interface",
    "mlops_lib.loaders.files",
)
#: Imported by the process of a step, which executes the notebook and stores its record.
STEP = ("papermill", "nbconvert", "mlops_lib.notebooks")
#: Imported by MLflow on the first use of a store in a database.
STORE = ("mlflow.store.tracking.sqlalchemy_store", "mlflow.store.model_registry.sqlalchemy_store")
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
#: The environment before the imports.
_BEFORE = dict(os.environ)
#: The default of ipykernel. Matplotlib reads this variable once, when it is imported.
MATPLOTLIB_BACKEND = ("MPLBACKEND", "module://matplotlib_inline.backend_inline")


def chosen(settings: Settings, model: bool = True) -> tuple[str, ...]:
    """The slow packages that the settings ask for.

    Modules of the user's own are never loaded ahead, because an import may do anything.

    Args:
        settings: Resolved settings.
        model: Whether to load the packages of the model wrapper and of its evaluation too.
    """
    scheme = tracking.tracking_uri(settings).partition(":")[0].partition("+")[0]
    modules = STORE if scheme in DATABASES else ()
    if not model:
        return modules
    names = {"wrapper": settings.model.wrapper, "task": settings.evaluation.task}
    rows = [plugins.TABLE[kind].get(name) for kind, name in names.items()]
    # The module itself first: it sets variables that its packages read when they are imported.
    return modules + tuple(name for row in rows if row for name in (row.path.partition(":")[0], *row.imports))


def leave_current_folder() -> None:
    """Let no module in the current folder hide a package; a Jupyter kernel does the
    same before its imports."""
    if sys.path[0] in ("", os.getcwd()):
        del sys.path[0]


def take_environment(environment: Mapping[str, str]) -> None:
    """Give this process the environment of another; variables that its imports have set stay,
    unless that has them.

    Packages such as Lightning and scikit-learn set variables when they are imported, and read them later.
    """
    by_imports = {name: value for name, value in os.environ.items() if _BEFORE.get(name) != value}
    os.environ.clear()
    os.environ.update({**by_imports, **environment})
    time.tzset()


def each(modules: tuple[str, ...]) -> Iterator[str]:
    """Import the modules one after another, and yield after each, so that the caller can stop between two.

    A module that cannot be imported is skipped; the notebook that needs it reports the error.
    """
    for module in modules:
        gc.disable()  # an import makes many objects and little garbage
        with (
            contextlib.suppress(Exception),
            _matplotlib_backend(),
            without(JSON_SCHEMA_EXTRAS),
            without(MLFLOW_PYTORCH_EXTRAS),
        ):
            importlib.import_module(module)
        gc.enable()
        yield module


@contextlib.contextmanager
def _matplotlib_backend() -> Iterator[None]:
    """Let Matplotlib draw into the notebook, as it does when a kernel imports it."""
    name, backend = MATPLOTLIB_BACKEND
    if name in os.environ:
        yield
        return
    os.environ[name] = backend
    try:
        yield
    finally:
        del os.environ[name]
