"""One run of a graph as a stream of events."""

from collections.abc import AsyncIterator, Collection
from typing import TYPE_CHECKING, Any

from mlops_lib.wrappers.interface import StreamEvent

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

INTERRUPT = "__interrupt__"


class GraphStream:
    """A run of a graph, which begins with the first event.

    Args:
        payload: The graph's input.
        options: LangChain's RunnableConfig.
        answer_nodes: Nodes whose tokens are the answer; none: all nodes.

    Attributes:
        state: The state so far; at the end as `ainvoke` returns it, with the interrupts under ``__interrupt__``.
    """

    def __init__(
        self, graph: "CompiledStateGraph", payload: Any, options: Any, answer_nodes: Collection[str] = ()
    ) -> None:
        self.state: dict[str, Any] = {}
        self._graph, self._payload, self._options = graph, payload, options
        self._answer_nodes = answer_nodes

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Tokens of the answer, and updates of the nodes."""
        interrupts: Any = None
        data: Any
        async for mode, data in self._graph.astream(
            self._payload, self._options, stream_mode=["messages", "updates", "values"]
        ):
            if mode == "values":
                self.state = data
            elif mode == "messages":
                message, about = data
                node = about.get("langgraph_node", "")
                is_chunk = type(message).__name__ == "AIMessageChunk"
                if is_chunk and message.text and (not self._answer_nodes or node in self._answer_nodes):
                    yield StreamEvent("token", str(message.text))
            elif INTERRUPT in data:
                interrupts = data[INTERRUPT]
            else:
                yield StreamEvent("update", data)
        if interrupts:
            self.state = {**self.state, INTERRUPT: interrupts}
