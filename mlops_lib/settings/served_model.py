"""The address of a registered model, as ``mlops serve`` takes it."""

import re
from typing import Any

from mlops_lib.errors import ConfigError
from mlops_lib.settings.names import STAGES

FORMS = "models:/name@alias, models:/name/3 or models:/name/Production"


def served_model(address: str) -> dict[str, Any]:
    """The settings that an address names: model, and its alias, version or stage. The other two are emptied.

    Args:
        address: As MLflow has it; a name is not percent-encoded.

    Raises:
        ConfigError: The address is none of a registered model that can be followed.
    """
    scheme, _, rest = address.partition(":/")
    if scheme == "runs" or (scheme == "models" and re.fullmatch(r"m-[0-9a-f]{32}", rest)):
        raise ConfigError(
            f"{address!r} is a logged model, and only a registered one can be served: it has a name, a version and files "
            f"that stay. Register it (mlflow.register_model), then serve {FORMS}."
        )
    settings: dict[str, Any] = {"serving.alias": "", "serving.version": 0, "serving.stage": "Production"}
    if scheme == "models" and (found := re.fullmatch(r"([^/@]+)@([^/@]+)", rest)):
        return settings | {"model.name": found[1], "serving.alias": found[2]}
    if scheme == "models" and (found := re.fullmatch(r"([^/@]+)/([^/@]+)", rest)):
        name, which = found.groups()
        if which.isdecimal() and int(which):
            return settings | {"model.name": name, "serving.version": int(which)}
        if which.title() in STAGES:
            return settings | {"model.name": name, "serving.stage": which.title()}
        raise ConfigError(
            f"{address!r}: {which!r} is no version and no stage ({', '.join(STAGES)}). Serve {FORMS}."
        )
    raise ConfigError(f"{address!r} is no address of a registered model. Serve {FORMS}.")
