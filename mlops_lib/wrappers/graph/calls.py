"""Tool calls of a conversation that have no result when the next question comes: they are cancelled."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from langgraph.types import StateSnapshot

#: The result of a tool call whose turn was given up for a new question.
#: Vendors refuse a call without a result.
CANCELLED = "Cancelled: the next message came before this call was made."


async def given_up(graph: Any, options: Any, state: "StateSnapshot", payload: Any) -> Any:
    """The input for a new question. The thread's open tool calls get the result `CANCELLED`,
    unless the input has theirs.

    The results are added to the input, or to the thread's state where the input of
    the graph lacks its messages.
    """
    builder = getattr(graph, "builder", None)  # none: an entrypoint, whose state has no keys
    if builder is None or not isinstance(state.values, Mapping):
        return payload
    for key, value in state.values.items():
        own = payload.get(key, [])
        own = own if isinstance(own, list) else [own]
        answered = {getattr(message, "tool_call_id", None) for message in own}
        results = [each for each in _results(value) if each.tool_call_id not in answered]
        if results and key in builder.schemas[builder.input_schema]:
            payload = {**payload, key: [*results, *own]}
        elif results and state.next:
            await graph.aupdate_state(options, {key: results}, as_node=state.next[0])
    return payload


def _results(value: Any) -> list[Any]:
    from langchain_core.messages import AIMessage, ToolMessage

    done = set()
    for message in reversed(value if isinstance(value, list) else []):
        if isinstance(message, AIMessage):
            calls = [call for call in message.tool_calls if call["id"] not in done]
            return [ToolMessage(CANCELLED, tool_call_id=call["id"], name=call["name"]) for call in calls]
        if not isinstance(message, ToolMessage):
            break
        done.add(message.tool_call_id)
    return []
