"""Slow imports made shorter: some packages load an optional one for a corner of what they do."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

#: jsonschema builds a grammar for internationalised addresses (1.6 s); no notebook's schema has one.
JSON_SCHEMA_EXTRAS = "rfc3987_syntax"
#: mlflow.pytorch imports all of Lightning (6 s of its 12) for a callback that we do not use.
MLFLOW_PYTORCH_EXTRAS = "pytorch_lightning"
#: skops imports every module of scikit-learn, one of which imports torch (1.4 s).
SKOPS_EXTRAS = "torch"
#: Feast imports torch (1.4 s) for answers in tensors; the platform reads rows.
FEAST_EXTRAS = "torch"


@contextmanager
def without(package: str) -> Iterator[None]:
    """Import what the block imports as if `package` were not installed; it stays importable afterwards.

    Does nothing when the package is loaded already.
    """
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # makes an import of it raise ImportError
    try:
        yield
    finally:
        del sys.modules[package]


@contextmanager
def unchecked() -> Iterator[None]:
    """Import what the block imports without typeguard's checks of arguments.

    For each function with checks typeguard compiles the whole module again: 4 of the 7 s of Feast's import.
    """
    import typeguard

    checked = typeguard.typechecked
    typeguard.typechecked = lambda target: target  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = checked
