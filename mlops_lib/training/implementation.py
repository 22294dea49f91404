"""Make the network or estimator that ``model.implementation`` names."""

import inspect
from typing import Any

from mlops_lib import plugins
from mlops_lib.errors import TrainingError
from mlops_lib.settings import Settings


def build(config: Settings, kind: str, **known: Any) -> Any:
    """Call the implementation with ``model.params``.

    Args:
        config: The `model` section is read.
        kind: Plugin table of the implementation: "network" or "estimator".
        known: Arguments such as ``n_features``, passed on if the implementation has a parameter of that name.

    Raises:
        TrainingError: The implementation does not take these parameters.
    """
    implementation = plugins.load(kind, config.model.implementation)
    accepted = inspect.signature(implementation).parameters
    arguments = {name: value for name, value in known.items() if name in accepted} | config.model.params
    try:
        return implementation(**arguments)
    except (TypeError, ValueError) as error:
        raise TrainingError(
            f"Cannot make {config.model.implementation!r} with model.params {config.model.params}: {error}. "
            f"It takes: {', '.join(accepted)}."
        ) from error
