"""One run of a graph as a stream of events, also from the graphs inside it."""

from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Literal, get_args

from mlops_lib.errors import ModelError, TrainingError
from mlops_lib.wrappers.graph.updates import visible
from mlops_lib.wrappers.interface import StreamEvent

if TYPE_CHECKING:
    from langgraph.pregel import Pregel

    from mlops_lib.wrappers.graph.attempts import Unrepeated

INTERRUPT = "__interrupt__"
#: Events that callers see. ``answer``: the answer's tokens. ``updates``: also custom events, and the nodes' updates without
#: system messages and tools. ``all``: whole updates.
Shown = Literal["answer", "updates", "all"]
#: The node that LangGraph's agents have for tools.
TOOLS = "tools"


class StreamSettings:
    """The settings of a graph's streams: the keys ``stream`` and ``answer_nodes`` of its config.json.

    Attributes:
        answer_nodes: Nodes whose tokens are the answer, each with all nodes inside it; a path is ``outer/inner``. Empty: all
            nodes. Text that a model writes inside a tool is the answer only where a name here has the node ``tools``.

    Raises:
        ModelError: A value has the wrong form.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.shown: Shown = config.get("stream") or "answer"
        if self.shown not in get_args(Shown):
            raise ModelError(
                f"'stream' of the graph's config is {self.shown!r}, and must be one of {', '.join(get_args(Shown))}."
            )
        nodes = config.get("answer_nodes") or ()
        if isinstance(nodes, str) or not all(isinstance(node, str) for node in nodes):
            raise ModelError(
                f"'answer_nodes' of the graph's config is {nodes!r}, and must be a list of node names."
            )
        self.answer_nodes: Collection[str] = nodes

    def check(self, graph: "Pregel") -> None:
        """Check that the graph has the answer nodes, as far as they can be known before it runs.

        Raises:
            TrainingError: It lacks one; names the nodes there are.
        """
        if not hasattr(graph, "builder"):  # an entrypoint, whose tasks have names when they run
            return
        inner = [name for _, each in graph.get_subgraphs(recurse=True) for name in each.nodes]
        known = sorted({name for name in (*graph.nodes, *inner) if not name.startswith("__")})
        for node in self.answer_nodes:
            if node.strip("/").partition("/")[0] not in known and node not in known:
                raise TrainingError(
                    f"model.params.answer_nodes has {node!r}; the graph has the nodes: {', '.join(known)}. A node of a graph "
                    "that is made in a node has the path outer/inner."
                )

    def is_answer(self, path: tuple[str, ...]) -> bool:
        """Whether text that a model writes in a node is a part of the answer."""
        if TOOLS in path:
            return any(TOOLS in node.split("/") and _holds(path, node) for node in self.answer_nodes)
        return not self.answer_nodes or any(_holds(path, node) for node in self.answer_nodes)


def _holds(path: tuple[str, ...], node: str) -> bool:
    return f"/{node.strip('/')}/" in f"/{'/'.join(path)}/"


class GraphStream:
    """A run of a graph, which begins with the first event.

    Args:
        payload: The graph's input.
        options: LangChain's RunnableConfig.
        more: More arguments of the graph's ``astream``.

    Attributes:
        state: The state so far; at the end as `ainvoke` returns it, with the interrupts under ``__interrupt__``.
    """

    def __init__(
        self,
        graph: "Pregel",
        payload: Any,
        options: Any,
        settings: StreamSettings,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self.state: Any = {}
        self._graph, self._payload, self._options, self._settings = graph, payload, options, settings
        self._more = more or {}
        #: Ids of messages that were sent.
        self._sent: set[str] = set()

    async def events(self) -> AsyncIterator[StreamEvent]:
        """Tokens of the answer; updates and custom events, where the settings show them."""
        # LangChain takes a while to import.
        from mlops_lib.wrappers.graph.attempts import Attempts, Unrepeated

        options = {**self._options, "callbacks": [*self._options.get("callbacks", ()), Attempts()]}
        shown, interrupts, unrepeated = self._settings.shown, dict[str, Any](), Unrepeated()
        run = self._graph.astream(
            self._payload,
            options,
            stream_mode=["messages", "updates", "values", "custom"],
            subgraphs=True,
            **self._more,
        )
        inside: Any
        data: Any
        async with aclosing(run) as parts:  # type: ignore[type-var]
            async for inside, mode, data in parts:
                path = _names(inside)
                if mode == "values":
                    if not inside:
                        self.state = data
                elif mode == "messages":
                    message, about = data
                    unrepeated.begin(about)
                    token = self._token(path, message, about, unrepeated)
                    if text := token and unrepeated.text(token, about):
                        yield StreamEvent("token", text, (*path, about["langgraph_node"]))
                elif mode == "custom":
                    if shown != "answer":
                        yield StreamEvent("custom", visible(data, everything=True), path)
                elif INTERRUPT in data:
                    if not inside:  # those of inner graphs come again in the outer one
                        interrupts |= {each.id: each for each in data[INTERRUPT]}
                elif shown != "answer":
                    for node, changes in data.items():
                        if not node.startswith("__"):  # such as __metadata__ of a cached node
                            yield StreamEvent("update", visible(changes, shown == "all"), (*path, node))
        if interrupts:
            state = self.state if isinstance(self.state, dict) else {}
            self.state = {**state, INTERRUPT: tuple(interrupts.values())}

    def _token(
        self, path: tuple[str, ...], message: Any, about: Mapping[str, Any], sent: "Unrepeated"
    ) -> str:
        """The new text in a message; "" if it has none, or none of the answer.

        A message comes in chunks from a model that streams. Any other comes whole: of a model that does not stream, or
        of a node that made it. A node often makes one of text that a model in it has streamed, so its messages count
        where the node has sent nothing yet.
        """
        text = str(message.text) if message.type in ("ai", "AIMessageChunk") else ""
        if not text or not self._settings.is_answer((*path, about["langgraph_node"])):
            return ""
        if message.type == "ai":
            by_model = "ls_model_type" in about
            has_text = sent.has_text(about.get("langgraph_checkpoint_ns", ""))
            if message.id in self._sent or (has_text and not by_model):
                return ""
        self._sent.add(message.id)
        return text


def _names(namespace: tuple[str, ...]) -> tuple[str, ...]:
    """The nodes of ``("node:task", ...)``, without the numbers of several calls in one task."""
    return tuple(part.partition(":")[0] for part in namespace if not part.isdigit())
