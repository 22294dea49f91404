"""Names that MLflow, Kubernetes or Docker would refuse later, refused when the configuration is read."""

import posixpath
import re
from typing import Annotated

from pydantic import AfterValidator, Field

#: Kubernetes: https://kubernetes.io/docs/concepts/overview/working-with-objects/names
_DNS_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_DNS_NAME = rf"{_DNS_LABEL}(\.{_DNS_LABEL})*"
_LABEL = r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"
#: Docker: https://pkg.go.dev/github.com/distribution/reference
_PATH_PART = r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*"
_IMAGE = (
    rf"(?:(?:[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\])(:[0-9]+)?/)?{_PATH_PART}(/{_PATH_PART})*"
    r"(:[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(@[a-z0-9]+:[0-9a-f]{32,})?"
)
STAGES = ("Staging", "Production", "Archived", "None")


def model_name(name: str) -> str:
    """A name for MLflow's registry, whose versions are also found by filter and by ``models:/name/3``.

    Raises:
        ValueError: MLflow or an address would not take the name.
    """
    if odd := sorted({repr(c) for c in name if c in "/:?@'\"" or not c.isprintable()}):
        raise ValueError(
            f"MLflow's registry does not take {', '.join(odd)} in a name. Use letters, digits, - and _"
        )
    if not name.strip() or posixpath.normpath(name) != name or name.startswith(".."):
        raise ValueError("MLflow's registry takes no blank name, and none that begins with '..' or is '.'")
    return name


def _alias(name: str) -> str:
    if not re.fullmatch(r"[\w-]{0,255}", name):
        raise ValueError("An alias of MLflow's registry has letters, digits, - and _, at most 255 of them")
    if name.lower() == "latest" or re.fullmatch(r"[vV]\d+", name):
        raise ValueError("MLflow reserves the aliases 'latest' and 'v1', 'v2', ... Choose another one")
    return name


def _stage(name: str) -> str:
    if name.title() not in STAGES:
        raise ValueError(f"MLflow's registry has the stages {', '.join(STAGES)}")
    return name


def _matching(pattern: str, longest: int, rule: str) -> AfterValidator:
    """A validator that takes "" (no name) and texts of a pattern."""

    def checked(name: str) -> str:
        if name and not (len(name) <= longest and re.fullmatch(pattern, name)):
            raise ValueError(rule)
        return name

    return AfterValidator(checked)


ModelName = Annotated[str, Field(min_length=1, max_length=256), AfterValidator(model_name)]
Alias = Annotated[str, AfterValidator(_alias)]
Stage = Annotated[str, AfterValidator(_stage)]
#: A name of Kubernetes, or "".
KubernetesName = Annotated[
    str,
    _matching(
        _DNS_NAME,
        253,
        "Kubernetes takes lower-case letters, digits, - and . here, with a letter or digit at each end",
    ),
]
Namespace = Annotated[
    str,
    _matching(
        _DNS_LABEL,
        63,
        "Kubernetes takes at most 63 lower-case letters, digits and - here, with none of - at an end",
    ),
]
#: ``name`` or ``example.com/name``, as of a node's label or a resource.
QualifiedName = Annotated[
    str,
    _matching(
        rf"({_DNS_NAME}/)?{_LABEL}",
        317,
        "Kubernetes takes name or example.com/name of letters, digits, -, _ and .",
    ),
]
LabelValue = Annotated[
    str,
    _matching(_LABEL, 63, "Kubernetes takes at most 63 letters, digits, -, _ and . as the value of a label"),
]
EnvironmentName = Annotated[
    str, _matching(r"[A-Za-z_][A-Za-z0-9_]*", 253, "a name of a variable has letters, digits and _")
]
ImageName = Annotated[
    str,
    Field(min_length=1),
    _matching(
        _IMAGE, 400, "Docker takes registry.example.com:5000/path/name:tag, name and path in lower case"
    ),
]
