"""Model wrappers: train, evaluate, load and predict, the same for every kind of model.

`from_settings` makes the wrapper that config.yaml names; `load` finds the wrapper of a logged model.
"""

from typing import TYPE_CHECKING

from mlops_lib import plugins
from mlops_lib.settings import Settings
from mlops_lib.wrappers.load import MODEL_PATH, WRAPPER_KEY, download, load, uri_of_run, wrapper_name

if TYPE_CHECKING:
    from mlops_lib.wrappers.interface import ModelWrapper

__all__ = ["MODEL_PATH", "WRAPPER_KEY", "download", "from_settings", "load", "uri_of_run", "wrapper_name"]


def from_settings(settings: Settings) -> "ModelWrapper":
    """A new wrapper of the class that ``model.wrapper`` names."""
    return plugins.load("wrapper", settings.model.wrapper)()
