"""A model that waits, in a process of its own: many calls at once, streams, cancellation; one call fails alone."""

import asyncio
import socket
from types import SimpleNamespace
from typing import Any

import pytest

from mlops_lib.errors import InputError
from mlops_lib.llm.accounting.usage import Usage
from serving.isolation import failures, messages, waiting
from serving.isolation.waiting import Waiting
from serving.isolation.wire import Reader, Writer
from tests.support import model_process
from tests.support.waiting import LIMIT_S, until


@pytest.fixture(scope="module")
def process(template, graph, settings):
    """A process of the graph; for tests that leave it in order."""
    with model_process.running(template, graph, settings, "langgraph") as running:
        yield running


@pytest.fixture
def victim(template, graph, settings):
    """A process of the same graph, for a test that leaves it hanging."""
    with model_process.running(template, graph, settings, "langgraph") as running:
        yield running


def answer(process, question):
    """The answer to one question that is asked alone, or the exception."""
    number = process.ask(question)
    last = process.receive()
    assert last.id == number
    return failures.exception(last) if isinstance(last, messages.Failed) else last.predictions[0]


def begun(tmp_path, question):
    """A question whose node first makes the file `begun`."""
    waits = question.startswith("~")
    return f"{'~' * waits}(open({str(tmp_path / 'begun')!r}, 'a').write('x'), {question[waits:]})[1]"


def test_calls_are_answered_as_they_finish(process, tmp_path):
    """A slow call holds up no other one, whether its node waits or blocks a thread."""
    gate = str(tmp_path / "gate")
    slow = {process.ask(f"~async_gate({gate!r})"), process.ask(f"open_gate({gate!r})")}
    fast = {process.ask("'fast'"), process.ask("~'fast'")}
    came = [process.receive() for _ in range(2)]
    (tmp_path / "gate").touch()
    came += [process.receive() for _ in range(2)]
    assert [{one.id for one in came[:2]}, {one.id for one in came[2:]}] == [fast, slow]
    assert [one.predictions for one in came] == [["fast"]] * 2 + [["slow"]] * 2
    assert all(one.usage == Usage() for one in came)


@pytest.mark.parametrize("form", ["{}", "~{}"])
@pytest.mark.parametrize(
    "text", ["sys.exit(1)", "fail(KeyboardInterrupt())", "fail(StopIteration())", "fail(OSError())"]
)
def test_any_exception_is_that_callers(process, tmp_path, form, text):
    """A node may raise anything: its caller gets an error, others their answers, and the process goes on."""
    other = process.ask(f"~async_gate({str(tmp_path / 'gate')!r})")
    number = process.ask(form.format(text))
    first = process.receive()
    (tmp_path / "gate").touch()
    second = process.receive()
    assert (first.id, first.kind) in [(number, "error"), (number, "model")] and first.usage == Usage()
    assert (second.id, second.predictions) == (other, ["slow"])
    assert answer(process, "1 + 1") == "2"


def test_a_call_that_is_given_back_does_not_begin_any_more(monkeypatch):
    """The loop was blocked when the gateway gave the call to another process: it reads that before it begins with calls."""
    asked: list[str] = []
    monkeypatch.setattr(waiting, "end", lambda: None)  # it is this process's end

    class Wrapper:
        async def apredict(self, rows):
            asked.extend(rows)
            return rows

    async def scenario():
        loop = asyncio.get_running_loop()
        model = SimpleNamespace(wrapper=Wrapper(), cast=lambda rows: rows, name="toy version 1")
        ours, its = socket.socketpair()
        ours.settimeout(LIMIT_S)
        its.setblocking(False)
        _, protocol = await loop.create_connection(lambda: Waiting(model), sock=its)
        writer, reader = Writer(), Reader(messages.ToGateway)
        protocol._handle(messages.Ask(1, ["given back"]))
        protocol._handle(messages.Ask(2, ["begun"]))
        for message in (messages.GiveBack(1), messages.Ping(3)):
            ours.sendall(b"".join(writer.frame(message)))
        came: list[Any] = []
        while not any(isinstance(message, messages.Answer) for message in came):
            count = await asyncio.to_thread(ours.recv_into, reader.space())
            assert count, came
            came += reader.received(count)
        ours.close()
        return [(type(message).__name__, message.id) for message in came]

    came = asyncio.run(scenario())
    assert sorted(came) == [("Answer", 2), ("Begun", 2), ("Failed", 1), ("Pong", 3)] and asked == ["begun"]


def test_a_refused_row(process):
    """The platform's own errors keep their kind."""
    assert isinstance(answer(process, ""), InputError)


def test_a_chat_becomes_a_row(process):
    """Rules for chats, and for rows that keep state, are the model's."""
    assert process.loaded.chats and process.loaded.keeps_state and process.loaded.waits
    process.start(messages.ChatRow, ([{"role": "user", "content": "1 + 1"}], {}))
    assert process.receive().predictions["question"] == "1 + 1"
    process.start(messages.ChatRow, ([], {}))
    assert process.receive().kind == "input"
    for row, keeps in (({"question": "x"}, False), ({"question": "x", "thread_id": "t"}, True)):
        process.start(messages.KeepsState, [row])
        assert process.receive().predictions is keeps


def test_a_stream_of_events(process):
    """The events of a row, the last one with the prediction, then the end."""
    process.start(messages.Stream, {"question": "1 + 1"})
    came = [process.receive() for _ in range(3)]
    assert [(one.kind, one.data, one.path) for one in came[:2]] == [
        ("update", {"answer": "2"}, ("work",)),
        ("prediction", "2", ()),
    ]
    assert isinstance(came[2], messages.Answer)


def test_a_stream_that_fails(process):
    """Its last message is the failure."""
    process.start(messages.Stream, {"question": "fail(OSError())"})
    assert process.receive().message == "OSError"


def test_a_stream_waits_until_its_events_are_taken(template, tmp_path):
    """A stream without an end fills no memory: it goes on as its events are taken, and can be cancelled while it waits."""
    settings = model_process.settings_in(tmp_path / "project", model_process.ENDLESS)
    model = model_process.make_sum(tmp_path / "model", 1, model_process.ENDLESS)
    with model_process.running(template, model, settings) as endless:
        number, sent = endless.start(messages.Stream, {"c0": 1.0}), 0
        for taken in (messages.WINDOW, 10, 1):
            came = [endless.receive() for _ in range(taken)]
            assert [one.data for one in came] == [str(sent + count) for count in range(taken)]
            assert isinstance(endless.ping(), messages.Pong)  # nothing came before it
            sent += taken
            endless.send(messages.Took(number, 10 if taken == messages.WINDOW else 1))
        assert endless.receive().kind == "token"
        endless.send(messages.Cancel(number))
        assert endless.receive().kind == "interrupted"


@pytest.mark.parametrize("kind", [messages.Ask, messages.Stream])
@pytest.mark.parametrize("question", ["~asyncio.sleep(600)", "spin(600)"])
def test_a_cancelled_call_ends(process, tmp_path, kind, question):
    """Code that waits, and Python code in a thread, ends at once; the last message says so."""
    row = {"question": begun(tmp_path, question)}
    number = process.start(kind, row if kind is messages.Stream else [row])
    until((tmp_path / "begun").exists, "the node runs")
    process.send(messages.Cancel(number))
    last = process.receive()
    assert (last.id, last.kind) == (number, "interrupted")
    assert answer(process, "1 + 1") == "2"


def test_a_call_that_was_answered_cannot_be_cancelled(process):
    """A cancellation that comes too late, or for a number that never was, does nothing."""
    number = process.ask("1")
    process.receive()
    process.send(messages.Cancel(number))
    process.send(messages.Cancel(10**6))
    assert isinstance(process.ping(), messages.Pong)


def test_a_cancelled_call_is_acknowledged_when_its_thread_has_ended(process, tmp_path):
    """Native code cannot be interrupted, so the last message comes after it; other calls go on meanwhile."""
    waits, gate = tmp_path / "waits", tmp_path / "gate"
    command = f"touch '{waits}'; until [ -e '{gate}' ]; do sleep 0.05; done"
    number = process.ask(f"os.system({command!r}) or spin(600)")
    until(waits.exists, "the node waits in native code")
    process.send(messages.Cancel(number))
    for count in range(3):
        assert answer(process, str(count)) == str(count)
    gate.touch()  # the node's native code ends
    last = process.receive()
    assert (last.id, last.kind) == (number, "interrupted")


def test_an_interruption_hits_no_other_call(process, tmp_path):
    """A thread that was interrupted serves the next calls, and none of these is interrupted."""
    for number in range(20):
        call = process.ask(begun(tmp_path, f"spin({0.0005 * number})"))
        until((tmp_path / "begun").exists, "the node runs")
        process.send(messages.Cancel(call))
        (tmp_path / "begun").unlink()
        assert process.receive().id == call
        assert answer(process, "spin(0.001) or 7") == "7"


def test_hung_nodes_hold_up_no_other_call(victim, tmp_path):
    """Ten nodes that hang leave threads for the others; without them, the gateway sees no acknowledgement."""
    hung = [victim.ask(begun(tmp_path, "time.sleep(600)")) for _ in range(10)]
    until(lambda: (tmp_path / "begun").read_text() == "x" * 10, "all ten hang")
    assert answer(victim, "1 + 1") == "2"
    for number in hung:
        victim.send(messages.Cancel(number))
    assert isinstance(victim.ping(), messages.Pong)
    assert answer(victim, "1 + 1") == "2"


def test_a_blocked_event_loop_answers_no_ping(victim, tmp_path):
    """A blocking `async def` is visible to the gateway, which then kills the process."""
    victim.ask(begun(tmp_path, "~time.sleep(600)"))
    until((tmp_path / "begun").exists, "the node blocks")
    victim.send(messages.Ping(1))
    victim.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        victim.receive()


def test_the_process_ends_with_its_socket(victim, tmp_path):
    """Calls in threads do not keep the process of a gateway that is gone."""
    victim.ask(begun(tmp_path, "time.sleep(600)"))
    until((tmp_path / "begun").exists, "the node runs")
    victim.socket.close()
    assert victim.wait_for_exit() == 0
