"""Records the trajectory of a row: a callback that LangChain and LangGraph find by a context variable.

So a graph is recorded however it is made, with its subgraphs, and a wrapper has nothing to pass on.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tracers.context import register_configure_hook

from mlops_lib.llm.traces.trajectory import Trajectory, decoded, message_event

_recorder: ContextVar["Recorder | None"] = ContextVar("recorder", default=None)
register_configure_hook(_recorder, inheritable=True)
#: Tag of LangGraph on the run of a node.
NODE_TAG = "graph:step:"


class Recorder(BaseCallbackHandler):
    """A callback of LangChain that keeps nodes, messages and tool calls in their order."""

    run_inline = True  # in the order of the events, and in no thread

    def __init__(self) -> None:
        self._events: list[dict[str, Any]] = []
        self._tools: dict[Any, dict[str, Any]] = {}

    @property
    def trajectory(self) -> Trajectory:
        """What was recorded so far."""
        return Trajectory(tuple(self._events))

    def on_chain_start(self, serialized: Any, inputs: Any, **about: Any) -> None:
        """Keep the start of a node."""
        if is_node(about):
            self._events.append({"node": about["name"]})

    def on_llm_end(self, response: Any, **_: Any) -> None:
        """Keep the message of an LLM."""
        for generation in response.generations[0]:
            if message := getattr(generation, "message", None):
                calls = [*message.tool_calls, *message.invalid_tool_calls]
                calls = [{"name": c["name"], "args": decoded(c["args"]), "id": c["id"]} for c in calls]
                self._events.append(message_event("assistant", str(message.text), calls))

    def on_tool_start(self, serialized: Any, input_str: str, **about: Any) -> None:
        """Keep name and arguments of a tool until it ends."""
        inputs = about.get("inputs")
        event = {
            "role": "tool",
            "name": (serialized or {}).get("name") or about.get("name") or "",
            "args": decoded(input_str) if inputs is None else inputs,
            "id": about.get("tool_call_id"),
        }
        self._tools[about["run_id"]] = event
        self._events.append(event)

    def on_tool_end(self, output: Any, **about: Any) -> None:
        """Keep the result of a tool."""
        content = getattr(output, "content", output)
        self._ended(about, "content", content if isinstance(content, str) else repr(content))

    def on_tool_error(self, error: BaseException, **about: Any) -> None:
        """Keep why a tool failed."""
        self._ended(about, "error", f"{type(error).__name__}: {error}")

    def _ended(self, about: dict[str, Any], name: str, value: str) -> None:
        if event := self._tools.pop(about["run_id"], None):
            event[name] = value


def is_node(about: Mapping[str, Any]) -> bool:
    """Whether a chain that starts is a node of LangGraph, by what LangChain tells its callbacks."""
    node = (about.get("metadata") or {}).get("langgraph_node")
    return node == about.get("name") and any(tag.startswith(NODE_TAG) for tag in about.get("tags") or ())


@contextmanager
def recording() -> Iterator[Recorder]:
    """Record the work in the block."""
    recorder = Recorder()
    token = _recorder.set(recorder)
    try:
        yield recorder
    finally:
        _recorder.reset(token)
