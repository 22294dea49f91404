"""What a network's ``forward`` takes, from its signature."""

import inspect
import re
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.spec import Style

EMPTY = inspect.Parameter.empty
KEYWORD, POSITIONAL = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY
ANY_POSITIONAL, ANY_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
#: Annotations of a dict, as text.
DICT = re.compile(r"(\w+\.)*(dict|mapping)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Forward:
    """The parameters of a network's forward, without self.

    Attributes:
        network: Name of the network, for errors.
    """

    network: str
    parameters: tuple[inspect.Parameter, ...]

    @classmethod
    def of(cls, network: Any) -> "Forward | None":
        """The forward of a class, or of the class that a function is annotated to return; None without one.

        Raises:
            TrainingError: The class defines no forward.
        """
        kind = network if inspect.isclass(network) else _returned(network)
        if not inspect.isclass(kind) or not (found := getattr(kind, "forward", None)):
            return None
        name = name_of(network)
        if found.__qualname__ in ("LightningModule.forward", "_forward_unimplemented"):
            raise TrainingError(
                f"{name} has no forward, which predictions are made with. Define forward(self, x)."
            )
        return cls(name, tuple(inspect.signature(found).parameters.values())[1:])

    @property
    def style(self) -> Style:
        """How it takes several inputs."""
        if len(self.parameters) == 1 and self.parameters[0].kind not in (ANY_POSITIONAL, ANY_KEYWORD):
            first = self.parameters[0]
            kind = typing.get_origin(first.annotation) or first.annotation
            is_dict = inspect.isclass(kind) and issubclass(kind, Mapping)
            if is_dict or first.name == "batch" or (isinstance(kind, str) and DICT.match(kind)):
                return "batch"
        if any(one.kind in (ANY_POSITIONAL, POSITIONAL) for one in self.parameters):
            return "positions"
        return "names"

    @property
    def takes_any_name(self) -> bool:
        """Whether it has ``**kwargs``."""
        return any(one.kind is ANY_KEYWORD for one in self.parameters)

    @property
    def names(self) -> list[str]:
        """Its parameters, without ``**kwargs``."""
        return [one.name for one in self.parameters if one.kind is not ANY_KEYWORD]

    @property
    def required(self) -> list[str]:
        """Parameters without a default."""
        return [one.name for one in self.parameters if one.default is EMPTY and one.kind is not ANY_KEYWORD]

    @property
    def takes_one_by_position(self) -> bool:
        """Whether its only parameter may be passed without its name."""
        only = self.parameters[0] if len(self.parameters) == 1 else None
        return only is not None and only.kind not in (ANY_KEYWORD, KEYWORD)

    def takes_the_matrix(self, schema: Schema) -> bool:
        """Whether its one required parameter names no column.

        ``x`` names a column only if that is an array, a sequence or an image.
        """
        required = [one for one in self.parameters if one.default is EMPTY]
        if self.style == "batch" or len(required) != 1:
            return False
        if required[0].kind in (ANY_KEYWORD, ANY_POSITIONAL, KEYWORD):
            return False
        column = schema.features.get(required[0].name)
        optional = [one.name for one in self.parameters if one.default is not EMPTY]
        if any(name in schema.features for name in optional):
            return column is None and required[0].name == "x"
        return column is None or (column.name == "x" and column.kind not in ("array", "sequence", "image"))


def name_of(network: Any) -> str:
    """The name of a class or function, for errors."""
    return getattr(network, "__name__", str(network))


def _returned(function: Any) -> Any:
    try:
        return typing.get_type_hints(function).get("return")
    except (NameError, TypeError):
        return None
