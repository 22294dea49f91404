"""LangGraph graphs: packaged, evaluated and served like any other model.

``model.implementation`` is ``my_agent.py:graph``, ``package.module:graph``, or a folder with ``langgraph.py``
(which has ``build(package)``), ``prompts.yaml`` and ``config.json``. ``model.params`` says how rows become
the graph's input and its state an answer; in a folder, config.json may say so too.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import InputError, ModelError, UnansweredError
from mlops_lib.llm import chat
from mlops_lib.llm.accounting.ledger import note_unseen, tally
from mlops_lib.llm.conversation import Message, Said
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.options import OPTIONS, usable
from mlops_lib.llm.transport import own_clients
from mlops_lib.llm.values import as_text, is_message, plain
from mlops_lib.llm.vendors.completion import completion, completion_of
from mlops_lib.settings import LlmSettings, Settings
from mlops_lib.wrappers.graph import package as graph_package
from mlops_lib.wrappers.graph.code import GraphPackage, build_graph
from mlops_lib.wrappers.graph.context import check_context
from mlops_lib.wrappers.graph.input import GraphInput, no_place, question_in
from mlops_lib.wrappers.graph.output import GraphOutput
from mlops_lib.wrappers.graph.shape import MESSAGES, opened
from mlops_lib.wrappers.graph.stream import INTERRUPT, GraphStream, StreamSettings
from mlops_lib.wrappers.graph.threads import RESUME, THREAD, THREADS_FILE, Threads, Turn, keeps_threads
from mlops_lib.wrappers.graph.turns import invalid_answers, shown
from mlops_lib.wrappers.interface import StreamEvent
from mlops_lib.wrappers.text import chats, interrupts, prompts
from mlops_lib.wrappers.text.chats import CHAT, chat_of
from mlops_lib.wrappers.text.package import read_json
from mlops_lib.wrappers.text.wrapper import TextModelWrapper

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from mlops_lib.llm.traces.endings import Endings

__all__ = ["GraphPackage", "LangGraphWrapper"]


class LangGraphWrapper(TextModelWrapper):
    """The graph of ``model.implementation``.

    ``model.params``, all optional: ``input``, ``output`` and ``contexts`` (see `GraphInput`, `GraphOutput`),
    ``threads`` (whether conversations are kept), ``stream`` and ``answer_nodes`` (see `StreamSettings`),
    ``context`` and ``configurable`` (the graph's runtime context and config), ``prompts`` (path of a
    prompts.yaml), ``files`` (more files and folders to package, name -> path) and ``config`` (for the
    function that builds the graph).
    """

    name = "langgraph"
    has_epochs = False

    def package(self, folder: Path, config: Settings) -> None:
        graph_package.collect(folder, config)

    def ready(self, package: Path, llm: LlmSettings) -> None:
        def chat_model(name: str, **params: Any) -> "BaseChatModel":
            return chat.chat_model(name, llm, **params)

        self._config = read_json(package / "config.json")
        self._streams = StreamSettings(self._config)
        texts = prompts.read(package / "prompts.yaml")
        own_clients.meter(llm.prices)
        parts = GraphPackage(self._config, texts, package, chat_model)
        built = own_clients.with_stand_ins(lambda: build_graph(parts))
        self._graph, shape = opened(built.graph)
        self._input = GraphInput(shape, self._config.get("input"))
        self._output = GraphOutput(shape, self._config.get("output"), self._config.get("contexts"))
        allowed = keeps_threads(self._graph, self._config.get("threads"))
        self.extra_columns = {THREAD: "text", RESUME: "any"} if allowed else {}
        self.chat_options = OPTIONS["openai"].intersection(self._input.option_keys)
        self._threads = Threads(self._graph, allowed, self.text_column, self._input, built.importable)

    def check_columns(self, columns: Sequence[str]) -> None:
        self._input.check(columns)
        self._output.check()
        self._streams.check(self._graph)
        check_context(self._graph, self._config.get("context"))

    def attach(self, settings: Settings) -> None:
        """Store conversations in ``threads.db`` of the work folder, so that they outlive this process."""
        folder = settings.path(settings.pipeline.work_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self._threads.store_in(folder / THREADS_FILE)

    def next_row(
        self, row: Mapping[str, Any], said: Sequence[Message], message: Said, thread: str, last: Any
    ) -> dict[str, Any]:
        values = {**row, self.text_column: message}
        if self.extra_columns:
            if questions := interrupts.open_in(last):
                return values | {
                    self.text_column: None,
                    THREAD: thread,
                    RESUME: interrupts.resume(questions, message),
                }
            if not isinstance(message, str):
                raise InputError(f"'turns' has the answers {as_text(message)}, and the graph asks nothing.")
            return values | {THREAD: thread}
        if not self._input.takes_history:
            raise InputError(
                f"The state of this graph has no {MESSAGES!r}. Set model.params.threads: true, so that it keeps conversations."
            )
        asked = {"history": [*said], "last": {"role": "user", "content": message}}
        return values | {CHAT: asked}

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        endings = _endings()
        async with self._threads.turn(row) as turn:
            state: Any = {INTERRUPT: turn.asked}
            if not turn.asked:
                options = self._options(turn, endings)
                with invalid_answers(), tally() as usage:
                    state = await turn.graph.ainvoke(turn.payload, options, **self._context())
                note_unseen(endings.models, endings.answers - usage.calls - usage.unseen)
                state = await self._threads.with_pause(turn, state)
        return self._generation(row, state, turn.payload, endings)

    async def astream(self, row: Mapping[str, Any]) -> AsyncIterator[StreamEvent]:
        endings = _endings()
        async with self._threads.turn(row) as turn:
            state: Any = {INTERRUPT: turn.asked}
            if not turn.asked:
                options = self._options(turn, endings)
                run = GraphStream(turn.graph, turn.payload, options, self._streams, self._context())
                with invalid_answers():
                    async for event in run.events():
                        if event.kind != "token" or not self._output.is_structured:
                            yield event
                state = await self._threads.with_pause(turn, run.state)
        made = self._generation(row, state, turn.payload, endings)
        if made.contexts and self._streams.shown != "answer":
            yield StreamEvent("contexts", list(made.contexts))
        yield StreamEvent("interrupt" if _interrupts(state) else "prediction", made.output)

    def _options(self, turn: Turn, endings: "Endings") -> Any:
        configurable = self._config.get("configurable", {}) | turn.options.get("configurable", {})
        options = {**turn.options, "callbacks": [endings]}
        return options | ({"configurable": configurable} if configurable else {})

    def _context(self) -> dict[str, Any]:
        found = self._config.get("context")
        return {} if found is None else {"context": found}

    def keeps_state(self, row: Any) -> bool:
        return row.get(THREAD) is not None

    def chat_row(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, Any]:
        """The row for a chat. A graph gets messages and options under their names in its state."""
        found = usable(options, self.chat_options)
        history = [dict(message) for message in messages[:-1]]
        if self._input.takes_messages(self.text_column):
            question, _ = chats.split(messages[chats.last_question(messages)])
            asked = {"history": history, "last": dict(messages[-1])}
            return {**found, self.text_column: question, CHAT: asked}
        row = super().chat_row(messages[-1:], options)
        if history and not self._input.takes_history and not self.extra_columns:
            raise no_place()
        return row | {CHAT: {"history": history}}

    def _generation(self, row: Mapping[str, Any], state: Any, payload: Any, endings: "Endings") -> Generation:
        """The answer in the graph's last state: the output, or the question of an interrupt."""
        if stopped := _interrupts(state):
            asked = shown(stopped)
            if row.get(THREAD) is None:
                raise UnansweredError(
                    f"The graph stopped to ask {asked[0]['value']!r}. Send a {THREAD!r} with the question, and then the "
                    f"answer as {RESUME!r}.",
                    interrupts.texts(asked),
                )
            answer = {"interrupt": asked[0]["value"], "interrupts": asked, THREAD: row[THREAD]}
            return Generation(row, answer)
        found = self._output.answer(state, question_in(payload))
        try:
            output = plain(found)
        except TypeError as error:
            raise ModelError(str(error)) from None
        if chat_of(row) is not None:
            if is_message(found) and found.type == "ai":
                output = completion_of(found)
            else:
                text = as_text(output)
                output = completion(text, endings.of(text))
        return Generation(row, output, self._output.contexts(state))


def _interrupts(state: Any) -> Any:
    return state.get(INTERRUPT) if isinstance(state, Mapping) else None


def _endings() -> "Endings":
    from mlops_lib.llm.traces.endings import Endings

    return Endings()
