"""Packages that the template imports, so that each model process has them ready."""

import contextlib
import gc
import importlib
import sys
from collections.abc import Collection, Iterator, Sequence
from importlib.abc import MetaPathFinder
from typing import Any

#: Imported once, for the models of every kind. A package that is not installed is left out.
COMMON = (
    "numpy",
    "pandas",
    "mlflow.pyfunc",
    "mlops_lib.wrappers.interface",
    "mlops_lib.wrappers.pyfunc",
    "serving.isolation.model_process",
)
#: Imported before the first model of a flavour or wrapper is forked, so that its next process starts faster.
OF_KINDS = {
    "sklearn": ("sklearn.base", "skops.io"),
    "xgboost": ("sklearn.base", "xgboost"),
    "lightgbm": ("sklearn.base", "lightgbm"),
    "pytorch": ("torch", "mlflow.pytorch"),
    "lightning": ("torch", "mlflow.pytorch", "mlops_lib.wrappers.lightning"),
    "langgraph": ("mlops_lib.wrappers.langgraph", "mlops_lib.llm.chat", "langgraph.graph", "langgraph.types"),
}
#: Large packages that others import for a corner of what they do, if they are installed: skops asks
#: scikit-learn for all its estimators, which imports torch; mlflow.pytorch has a callback for Lightning. A
#: model that needs one imports it.
LATER = ("torch", "dask", "pytest", "pytorch_lightning")


def import_all(names: Sequence[str]) -> None:
    """Import packages; those that cannot be imported are left to the models that need them."""
    gc.disable()  # imports make many objects and little garbage
    with _postponed(set(LATER) - set(names)):
        for name in names:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
    gc.collect()
    gc.freeze()  # a collection in a fork would copy the pages that it shares with the template
    gc.enable()


@contextlib.contextmanager
def _postponed(packages: Collection[str]) -> Iterator[None]:
    """Import as if some packages were not installed."""

    class Finder(MetaPathFinder):
        def find_spec(self, name: str, *_: Any) -> None:
            if name in packages:
                raise ModuleNotFoundError(f"{name} is imported by the models that need it", name=name)

    finder = Finder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
