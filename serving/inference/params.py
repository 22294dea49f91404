"""Values for ``params`` of a model's signature, which a protocol's body may have."""

from collections.abc import Mapping
from typing import Any

from serving.inference.refusals import listed
from serving.inference.schema import RequestSchema
from serving.web.problems import invalid_input


def known_params(schema: RequestSchema, sent: Any) -> tuple[dict[str, Any], list[str]]:
    """The params that the signature has, checked, and the names of the others.

    Args:
        sent: Name -> value; None: there are none.

    Raises:
        Problem: 422 for values that do not fit.
    """
    if sent is None:
        return {}, []
    from mlflow.exceptions import MlflowException
    from mlflow.types import ParamSpec

    if not isinstance(sent, Mapping):
        raise invalid_input(f"'params' must be an object, and is {sent!r}.")
    known = {name: value for name, value in sent.items() if name in schema.params}
    for name, value in known.items():
        try:
            ParamSpec.validate_param_spec(value, schema.params[name])
        except MlflowException as error:
            raise invalid_input(f"'params': {error.message}") from None
    return known, [name for name in sent if name not in known]


def require_params(schema: RequestSchema, sent: Any) -> dict[str, Any]:
    """The params that were sent; all of them must be in the signature.

    Raises:
        Problem: 422 for values that do not fit, and for names that the signature does not have.
    """
    known, others = known_params(schema, sent)
    if others:
        takes = f"It takes {listed(schema.params)}." if schema.params else "It takes none."
        raise invalid_input(f"The model has no parameter {', '.join(map(repr, others))}. {takes}")
    return known
