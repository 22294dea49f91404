"""Messages between the gateway, the template and the model processes.

A call has a number, `id`, that the gateway chooses. The model process answers each `Batch`, `Ask`, `Stream`,
`ChatRow` and `KeepsState` with exactly one last message under that number (`Answers`, `Answer` or `Failed`). For a
call that was cancelled it comes when the call's work has ended, in every thread. A model that waits sends `Begun`
before it, unless the call ended before it began, and the `Event`s of a stream. `Load` is the first message, and its
answer is `Loaded` or `Failed` with the id 0.
"""

from typing import Any, Literal

from msgspec import Struct

from mlops_lib.llm.accounting.usage import Usage

#: The reason for a failure. ``input`` InputError; ``bad_value`` BadValue; ``problem`` Problem; ``model`` another error of
#: the platform, whose text a caller may see; ``error`` any other exception; ``interrupted`` the gateway ended the call.
Kind = Literal["input", "bad_value", "problem", "model", "error", "interrupted"]

#: Events of a stream that may be on their way.
WINDOW = 64


class Message(Struct, frozen=True, array_like=True, tag=True):
    """Base of all messages: an array that begins with the message's name."""


# From the gateway to a model process.


class Load(Message, frozen=True):
    """Open the model in `folder`. `settings` is an `Exact` of the service's Settings; `model` names it in errors."""

    folder: str
    model: str
    settings: Any
    id: int = 0


class Batch(Message, frozen=True):
    """Predict the rows of several callers in one call of the model.

    Attributes:
        jobs: `Exact` of a list: the rows of each caller, tuples for a model that takes a matrix, else dicts without casts.
    """

    id: int
    jobs: Any


class Ask(Message, frozen=True):
    """Answer the rows of one caller, beside other calls. `rows` is an `Exact` of a list."""

    id: int
    rows: Any


class Stream(Message, frozen=True):
    """Answer one row (`Exact`) with events."""

    id: int
    row: Any


class ChatRow(Message, frozen=True):
    """Make a row from a chat: `Exact` of the arguments of `ModelWrapper.chat_row`."""

    id: int
    chat: Any


class KeepsState(Message, frozen=True):
    """Tell whether the answer to any of the rows (`Exact` of a list) changes later answers."""

    id: int
    rows: Any


class Cancel(Message, frozen=True):
    """End a call of a model that waits.

    For a model that computes, the gateway calls `os.kill` with SIGUSR1 while it has not seen the batch's answer. So the
    signal cannot meet the next batch, as one on its way through the template could.
    """

    id: int


class GiveBack(Message, frozen=True):
    """Do not begin with a call. It is answered as a call that was cancelled; one that has begun goes on."""

    id: int


class Took(Message, frozen=True):
    """That many events of a stream have been taken. A process sends `WINDOW` events ahead and no more.

    So a stream that nobody reads, or one without an end, fills neither side's memory.
    """

    id: int
    events: int


class Ping(Message, frozen=True):
    """Answer with `Pong`; a model that computes does so between two batches."""

    id: int


# From a model process to the gateway.


class Loaded(Message, frozen=True):
    """The model is open and has answered its example.

    Attributes:
        waits: Whether it is called with `Ask` and `Stream`, many at once; else with `Batch`, one after another.
        takes_matrix: Whether rows are sent as tuples in the order of the model's columns.
        example: The first row of its example, as a caller would send it; None without one.
        chats: Whether `ChatRow` makes sense for it.
        keeps_state: Whether the model has rules of its own for `KeepsState`; otherwise no row keeps state.
        whole_requests: As of `ModelWrapper`.
    """

    waits: bool
    takes_matrix: bool
    example: Any
    chats: bool
    keeps_state: bool
    whole_requests: Literal["never", "on demand", "always"] = "never"


class Failed(Message, frozen=True):
    """A call, a caller's rows or the load failed.

    Attributes:
        message: For the caller; for kind ``error`` the exception's type alone.
        status, code, retry_after_s: Of a Problem; `code` also of a ThreadError.
        row, column, value, wanted: Of a BadValue. The row is counted from the first one of the call or job.
        described: Whether `value` is a description of the value, which people read without quotes.
        traceback: For the log; secrets are masked.
        usage: Tokens that the call had cost; None for a model that does not wait.
    """

    id: int
    kind: Kind
    message: str
    status: int = 500
    code: str = ""
    retry_after_s: int = 0
    row: int = 0
    column: str = ""
    value: Any = None
    wanted: str = ""
    described: bool = False
    traceback: str = ""
    usage: Usage | None = None


class Answers(Message, frozen=True):
    """The outcome of a `Batch`.

    Attributes:
        predictions: One a row, without the rows of failed jobs: an array of numbers [rows, ...], or a list of JSON's values
            (and bytes).
        bad: Places in `predictions` whose numbers are not all finite.
        failed: Number of a job -> why it failed.
        seconds: Time in the model.
    """

    id: int
    predictions: Any
    bad: list[int]
    failed: dict[int, Failed]
    seconds: float


class Answer(Message, frozen=True):
    """The last message of an `Ask` (predictions, one a row), `Stream` (None), `ChatRow` (the row) or `KeepsState` (a bool).

    Attributes:
        predictions: As of `Answers`.
        bad: Places in `predictions` whose numbers are not all finite.
    """

    id: int
    predictions: Any
    bad: list[int]
    usage: Usage


class Begun(Message, frozen=True):
    """The model works on a call.

    Until then, the gateway may give the call to another process, after a `GiveBack`.
    """

    id: int


class Event(Message, frozen=True):
    """One event of a stream: the fields of a `StreamEvent`."""

    id: int
    kind: Literal["token", "update", "custom", "contexts", "interrupt", "tool_calls", "prediction"]
    data: Any
    path: tuple[str, ...] = ()


class Pong(Message, frozen=True):
    """The answer to `Ping`."""

    id: int


ToProcess = Load | Batch | Ask | Stream | Took | ChatRow | KeepsState | Cancel | GiveBack | Ping
ToGateway = Loaded | Begun | Failed | Answers | Answer | Event | Pong

# Between the gateway and the template: one message a packet.


class Fork(Message, frozen=True):
    """Start a model process. Its end of the socket pair comes with the packet; `kinds` are keys of `packages.OF_KINDS`."""

    id: int
    kinds: list[str]


class Kill(Message, frozen=True):
    """Kill a process that the template has forked, and its whole group. Ignored once it has ended."""

    pid: int


class Forked(Message, frozen=True):
    """The process of a `Fork`; pid 0: the system refused one, for `reason`."""

    id: int
    pid: int
    reason: str = ""


class Exited(Message, frozen=True):
    """A process has ended with this status of `os.waitpid`, and everything in its group was killed."""

    pid: int
    status: int


class Ready(Message, frozen=True):
    """The template has its imports, and forks from now on."""


ToTemplate = Fork | Kill
FromTemplate = Ready | Forked | Exited
