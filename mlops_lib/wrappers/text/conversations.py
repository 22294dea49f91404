"""Plays a conversation of several turns: the user's part from the golden data, the answers from a model."""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any, Protocol
from uuid import uuid4

from mlops_lib.errors import InputError, MlopsError
from mlops_lib.evaluation.metrics.json_values import text_of
from mlops_lib.evaluation.simulation.script import Script
from mlops_lib.evaluation.simulation.user import Reply, SimulatedUser
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.llm.conversation import (
    EMPTY_ANSWER,
    ERROR,
    MAX_TURNS,
    SCRIPT_ENDED,
    STOPPED,
    Conversation,
    Message,
    Said,
)
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.traces.trajectory import Trajectory, message_event, message_of
from mlops_lib.wrappers.text import interrupts
from mlops_lib.wrappers.text.answers import measured


class Partner(Protocol):
    """A model that can have a conversation."""

    @property
    def text_column(self) -> str:
        """The column with the question."""

    async def generate(self, row: Mapping[str, Any]) -> Generation:
        """Answer one row."""

    def next_row(
        self, row: Mapping[str, Any], said: Sequence[Message], message: Said, thread: str, last: Any
    ) -> dict[str, Any]:
        """The row of the next turn."""


class FailedTurnError(Exception):
    """A turn failed; the message says which, and why."""


async def converse(
    model: Partner, row: Mapping[str, Any], script: Script, user: SimulatedUser | None
) -> Generation:
    """The last answer of a conversation, with all of it. Costs and time are the model's alone,
    without the user's.

    Args:
        row: Features; the question is the user's first message.
        user: Plays the user of a script with a goal.
    """
    talk = _Talk(model, row, script, user if script.goal else None)
    try:
        return talk.ended(await talk.play())
    except FailedTurnError as error:
        return talk.ended(ERROR, str(error))


class _Talk:
    """One conversation in work."""

    def __init__(
        self, model: Partner, row: Mapping[str, Any], script: Script, user: SimulatedUser | None
    ) -> None:
        self._model, self._row, self._script, self._user = model, row, script, user
        self._thread = uuid4().hex
        self._said: list[Message] = []
        self._made: list[Generation] = []
        self._events: list[Mapping[str, Any]] = []

    async def play(self) -> str:
        """Exchange messages; return why the conversation ended.

        Raises:
            FailedTurnError: The model or the user failed.
        """
        first = self._row.get(self._model.text_column)
        for message in [*([first] if isinstance(first, str) and first.strip() else []), *self._script.turns]:
            if end := await self._exchange(message):
                return end
        if self._user is None:
            return SCRIPT_ENDED
        while True:
            reply = await self._reply(self._user)
            if reply.end:
                return reply.end
            if len(self._made) >= self._user.max_turns:
                return MAX_TURNS
            if end := await self._exchange(reply.message):
                return end

    async def _exchange(self, message: Said) -> str:
        """Ask the model; return why the conversation ends with its answer, "" while it goes on."""
        last = self._made[-1].output if self._made else None
        try:
            row = self._model.next_row(self._row, self._said, message, self._thread, last)
        except InputError as error:  # of answers to other questions than the graph asks
            raise FailedTurnError(f"Turn {len(self._made) + 1}: {error}") from error
        made = await measured(self._model.generate, row)
        self._made.append(made)
        self._say("user", text_of(message))
        self._events.extend(event for event in made.trajectory.events if event.get("role") != "user")
        if made.error:
            raise FailedTurnError(f"Turn {len(self._made)}: {made.error}")
        answer = text_of(answer_of(made.output))
        if not answer.strip():
            return EMPTY_ANSWER
        texts = [event.get("content") for event in made.trajectory.events if event.get("role") == "assistant"]
        self._say("assistant", answer, is_known=answer in texts)
        return STOPPED if self._user and self._user.stops(answer) else ""

    def _say(self, role: str, text: str, is_known: bool = False) -> None:
        """Add a message to the conversation, and to the trajectory unless it is known there."""
        self._said.append({"role": role, "content": text})
        if not is_known:
            self._events.append(message_event(role, text))

    async def _reply(self, user: SimulatedUser) -> Reply:
        try:
            return await user.reply(self._script, self._row, self._said)
        except Exception as error:  # the vendors' SDKs may raise anything
            reason = str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}"
            raise FailedTurnError(f"Turn {len(self._made) + 1}, the simulated user: {reason}") from error

    def ended(self, end: str, error: str = "") -> Generation:
        """The conversation as one answer."""
        usage = Usage()
        for one in self._made:
            usage.add(one.usage)
        first = self._said[0]["content"] if self._said else self._row.get(self._model.text_column)
        last = self._made[-1] if self._made else Generation({})
        return Generation(
            {**self._row, self._model.text_column: first},
            "" if error else answer_of(last.output),
            last.contexts,
            error,
            fmean(one.latency_s for one in self._made) if self._made else 0.0,
            usage,
            Trajectory(tuple(self._events)),
            Conversation(tuple(self._said), end),
        )


def answer_of(output: Any) -> Any:
    """What a user sees of a prediction: the text of a completion, the questions of interrupts,
    or the answer itself."""
    if (message := message_of(output)) is not None:
        return message.get("content") or ""
    asked = interrupts.open_in(output)
    return interrupts.shown(asked) if asked else output
