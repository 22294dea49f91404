"""The runtime context of a graph, ``context_schema`` of LangGraph, checked before the first call."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import TrainingError
from mlops_lib.wrappers.graph.shape import required_of

if TYPE_CHECKING:
    from langgraph.pregel import Pregel


def check_context(graph: "Pregel", given: Any) -> None:
    """Check ``model.params.context`` against the graph's schema.

    Raises:
        TrainingError: A field is missing or unknown; names the fields there are.
    """
    schema = getattr(graph, "context_schema", None)
    if given is not None and not isinstance(given, Mapping):
        raise TrainingError(f"model.params.context must be a mapping; it is {given!r}.")
    if schema is None:
        if given:
            raise TrainingError("model.params.context is set, but the graph has no context_schema.")
        return
    fields = required_of(schema)
    missing = [name for name, needed in fields.items() if needed and name not in (given or {})]
    unknown = [name for name in given or {} if fields and name not in fields]
    if missing or unknown:
        wrong = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(unknown)}"
        raise TrainingError(f"model.params.context {wrong}; the graph's context has: {', '.join(fields)}.")
