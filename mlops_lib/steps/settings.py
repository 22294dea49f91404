"""The settings of one step: config.yaml and the environment, with the step's parameters on top.

Runner, step cache and notebook all resolve a step's settings here.
"""

from typing import Any

from pydantic import ValidationError

from mlops_lib import config
from mlops_lib.errors import ContractError
from mlops_lib.redact import mask
from mlops_lib.settings import Settings
from mlops_lib.steps.contracts import Parameters, setting_of
from mlops_lib.steps.table import Step, step_of


def resolve(notebook: str, settings: Settings | None = None, **parameters: Any) -> Settings:
    """The settings of a step, in which its parameters replace the settings that they stand for.

    Args:
        notebook: Name of the step's notebook.
        settings: Resolved settings; None resolves config.yaml.
        parameters: Parameters of the step. One at its default leaves its setting alone.

    Raises:
        ContractError: A parameter is unknown or of the wrong type.
        ConfigError: A setting is wrong; names the key and where its value came from.
    """
    return with_parameters(settings or config.load(), checked(step_of(notebook), parameters))


def with_parameters(settings: Settings, parameters: Parameters) -> Settings:
    """`settings`, in which the parameters of a step replace the settings that they stand for."""
    return config.replaced(settings, overrides(parameters))


def overrides(parameters: Parameters) -> dict[str, Any]:
    """Dotted setting -> value, for each parameter that stands for a setting and is not at its default."""
    kind = type(parameters)
    return {
        setting: value
        for name, value in parameters.model_dump().items()
        if (setting := setting_of(kind, name)) and value != kind.model_fields[name].default
    }


def checked(step: Step, parameters: dict[str, Any]) -> Parameters:
    """The parameters of a step, checked against its contract.

    Raises:
        ContractError: A parameter is unknown or of the wrong type.
    """
    try:
        return step.parameters.model_validate(parameters)
    except ValidationError as error:
        known = ", ".join(step.parameters.model_fields)
        raise ContractError(f"Parameters of {step.notebook}: {problems(error)}. It takes: {known}.") from None


def problems(error: ValidationError) -> str:
    """The wrong values and the reasons, in one line; secrets are masked."""
    return "; ".join(
        f"{'.'.join(map(str, problem['loc']))} has value {mask(repr(problem['input']))}: {problem['msg']}"
        if problem["type"] != "missing"
        else f"{'.'.join(map(str, problem['loc']))} is missing"
        for problem in error.errors(include_url=False)
    )
