"""Model code that ends its process: its callers get a 500 with a code, and everybody else an answer."""

import asyncio
import os
import signal
import sys
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import uvloop

from mlops_lib.errors import ModelError
from mlops_lib.llm.accounting.usage import Usage
from serving.inference.batching import Batcher
from serving.inference.jobs import Job
from serving.isolation import template
from serving.isolation.computing import answer
from serving.isolation.failures import failed
from serving.isolation.messages import Answer, Answers, Ask, Batch, Begun, Event, Failed, Loaded, ToGateway
from serving.isolation.wire import Reader, WireError, Writer
from serving.processes import health, process, supervisor
from serving.processes.executor import BatchExecutor, outcomes
from serving.processes.forker import Forker, forker
from serving.processes.health import Health
from serving.processes.process import ModelProcess
from serving.web.problems import Problem
from tests.support.model_process import OBEDIENT, with_code
from tests.support.staged_service import gone, staged
from tests.support.waiting import until_async

#: Expression -> code of the answer.
ENDS = {
    "sys.exit(1)": "model_failed",
    "fail(KeyboardInterrupt())": "model_failed",
    "fail(MemoryError())": "model_failed",
    "fail(asyncio.CancelledError()) if (asyncio := __import__('asyncio')) else 0": "model_failed",
    "os._exit(0)": "model_crashed",
    "os.abort()": "model_crashed",
    "ctypes.string_at(0)": "model_crashed",
    "os.kill(os.getpid(), 9)": "model_crashed",
    "os.killpg(0, 9)": "model_crashed",
    "os.closerange(3, 100)": "model_crashed",
}


@pytest.mark.slow
def test_code_that_ends_its_process_hurts_its_caller_alone(tmp_path, obedient, monkeypatch):
    """sys.exit, an abort, a segfault, SIGKILL as of the out-of-memory killer, a closed socket: a code; the next caller is
    answered, and so are those who wait meanwhile."""
    monkeypatch.setattr(health, "MAX_FAILURES", 100)

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            for expression, code in ENDS.items():
                bad = asyncio.ensure_future(stage.do(expression))
                await stage.at_work(bad)
                good = asyncio.gather(*(stage.do(f"{n} + 1") for n in range(20)))
                assert (await bad, expression) == (code, expression)
                assert (await good, expression) == ([n + 1 for n in range(20)], expression)
            crashes = sum(code == "model_crashed" for code in ENDS.values())
            assert stage.figure("model_crashes_total") == stage.figure("model_restarts_total") == crashes
            assert stage.status() == "OK" and stage.figure("model_up") == 0.0, (
                "nobody has asked for the gauges"
            )

    asyncio.run(scenario())


@pytest.mark.slow
def test_after_repeated_crashes_the_version_is_unhealthy_until_it_is_back(tmp_path, obedient, monkeypatch):
    """Five crashes: 503 with a time to come again, /readyz, /status and metrics say so; then it answers again."""
    monkeypatch.setattr(health, "UNHEALTHY_S", 3.0)

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            for _ in range(health.MAX_FAILURES):
                assert await stage.do("os._exit(7)") == "model_crashed"
            assert await stage.do("1 + 1") == stage.status() == "model_unhealthy"
            with pytest.raises(Exception, match="exit code 7") as refused:
                stage.models.current()
            assert refused.value.retry_after_s >= 1
            assert "exit code 7" in stage.models.status()["unhealthy"]["champion"]
            await until_async(lambda: stage.status() == "OK", "the version is back")
            assert await stage.do("1 + 1") == 2

    asyncio.run(scenario())


def test_calls_wait_while_the_end_of_a_process_is_not_known_yet(tmp_path, obedient):
    """Its socket is closed, the template has not reported its end: a call reaches nobody, and the next process answers."""

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            model = stage.models.current().model._supervisor.running
            above = forker._process.pid
            os.kill(above, signal.SIGSTOP)
            try:
                os.kill(model.pid, signal.SIGKILL)
                await until_async(lambda: not model.connected, "the socket is closed")
                assert not model.ended
                asked = asyncio.gather(*(stage.do(f"{n} + 1") for n in range(3)))
                await until_async(lambda: stage.models.current().queued_rows == 3, "they wait")
            finally:
                os.kill(above, signal.SIGCONT)
            assert await asked == [1, 2, 3]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as in the service
        runner.run(scenario())


def test_everything_that_a_model_started_ends_with_its_process(tmp_path, obedient):
    """A crash, and the end of the service, leave no process of the model's own behind."""

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            start = "subprocess.Popen(['sleep', '600']).pid"
            first = await stage.do(start)
            assert await stage.do("os._exit(1)") == "model_crashed"
            await gone(first)
            second, own = await stage.do(start), await stage.do("os.getpid()")
        await gone(second)
        await gone(own)

    asyncio.run(scenario())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import argparse; argparse.ArgumentParser(exit_on_error=True).parse_args(['--x'])", "SystemExit: 2"),
        ("import os; os._exit(4)", "exit code 4"),
        ("import os; os.kill(os.getpid(), 9)", "signal 9"),
        ("import sys; sys.exit('no licence')", "no licence"),
        ("raise RuntimeError('broken')", "broken"),
        ("import time; time.sleep(600)", "longer than 5 s"),
        (
            "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 60)); __import__('time').sleep(600)",
            "longer than 5 s",
        ),
        ("class Obedient: pass\nmlflow.models.set_model(3)", "should either be an instance"),
    ],
)
def test_a_version_whose_load_ends_hangs_or_raises_is_refused(tmp_path, obedient, code, said):
    """Exit, kill, exception, hang: refused with the reason, version 1 goes on, and the next good version is loaded."""
    bad = with_code(obedient, tmp_path / "bad", f"{OBEDIENT}\n{code}\n")

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            if said == "longer than 5 s":
                stage.service.settings.serving.__dict__["load_timeout_s"] = 5.0
            await stage.serve(2, bad)
            assert said in stage.models.refused["champion"].reason, stage.models.refused
            assert stage.models.current().version.version == 1 and await stage.do("1 + 1") == 2
            stage.service.settings.serving.__dict__["load_timeout_s"] = 600.0
            await stage.serve(3, obedient)
            assert stage.models.current().version.version == 3 and await stage.do("1 + 1") == 2

    asyncio.run(scenario())


def test_code_that_reads_the_command_line_does_not_see_the_services_own(tmp_path, obedient):
    """`argparse` at import, over no arguments: the version is served."""
    code = "import argparse\nparser = argparse.ArgumentParser()\nparser.add_argument('--rate', default=3)\nRATE = parser.parse_args().rate"
    folder = with_code(obedient, tmp_path / "parses", f"{code}\n{OBEDIENT}")

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, folder)
            assert await stage.do("RATE") == 3

    asyncio.run(scenario())


def test_a_load_that_hangs_holds_up_neither_the_other_role_nor_the_next_version(tmp_path, obedient):
    """Version 2 hangs while it is loaded: a challenger is loaded beside it, and version 3 takes its place at once."""
    bad = with_code(obedient, tmp_path / "bad", f"{OBEDIENT}\ntime.sleep(600)\n")

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            stage.name(2, bad)
            await stage.models.look()
            stage.name(4, obedient, "challenger")
            await stage.models.look()
            await until_async(lambda: stage.models.challenger, "the challenger is served")
            assert stage.models.current().version.version == 1 and "champion" in stage.models._loads
            stage.name(3, obedient)
            await stage.models.look()
            await until_async(lambda: stage.models.current().version.version == 3, "version 3 is served")
            assert not stage.models.refused and await stage.do("1 + 1") == 2

    asyncio.run(scenario())


def test_a_process_that_ends_as_soon_as_it_has_loaded_the_model_is_refused(tmp_path, obedient, monkeypatch):
    """Its end is noticed before it is used: it does not become a version that never answers."""
    take = ModelProcess._take

    def take_and_end(self, message):
        take(self, message)
        if isinstance(message, Loaded):
            self._exited(signal.SIGKILL)

    async def scenario():
        async with staged(tmp_path) as stage:
            monkeypatch.setattr(ModelProcess, "_take", take_and_end)
            await stage.serve(1, obedient)
            assert "signal 9" in stage.models.refused["champion"].reason

    asyncio.run(scenario())


@pytest.mark.slow
def test_a_version_whose_restart_hangs_is_unhealthy(tmp_path, obedient, monkeypatch):
    """No process for a while: those who wait get 503 before the load's limit, and /readyz says so."""
    monkeypatch.setattr(supervisor, "MAX_DOWN_S", 1.0)
    once = f"open({str(tmp_path / 'loaded')!r}, 'x') if not os.path.exists({str(tmp_path / 'loaded')!r}) else time.sleep(600)"
    folder = with_code(obedient, tmp_path / "once", f"{OBEDIENT}\n{once}\n")

    async def scenario():
        async with staged(tmp_path) as stage:
            await stage.serve(1, folder)
            assert await stage.do("os._exit(1)") == "model_crashed"
            assert await stage.do("1 + 1") == stage.status() == "model_unhealthy"

    asyncio.run(scenario())


@pytest.fixture
def usual_recursion():
    """Python's own limit of recursion, which a library of another test may have raised."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    yield
    sys.setrecursionlimit(before)


@pytest.mark.usefixtures("usual_recursion")
def test_rows_that_cannot_be_sent_are_their_callers_problem():
    """Values nested too deeply: 413 for that caller alone; the other of the batch is answered, and so are later calls."""
    nested = 1
    for _ in range(800):
        nested = [nested]

    async def scenario():
        process = ModelProcess()
        batcher = Batcher(
            BatchExecutor(SimpleNamespace(running=process, trouble=None, health=Health())),
            batch_rows=8, queue_rows=64, timeout_s=60.0,
        )  # fmt: skip
        bad, good = batcher([nested]), batcher([1])
        with pytest.raises(Problem, match="nested too deeply") as refused:
            await bad
        assert refused.value.code == "body_too_large"
        for asked in (good, batcher([2])):
            await until_async(lambda: process._calls, "the batch is sent")
            process._take(Answers(*process._calls, [4], [], {}, 0.0))
            assert await asked == [4]

    asyncio.run(scenario())


def test_answers_that_are_too_large_together_are_sent_apart():
    """Two callers have theirs, and one whose own answer is too large has 500 with the reason."""

    def answered(make, handler):
        batch = make(1)
        frame = Writer(max_bytes=4096).frame
        try:
            parts = answer(lambda rows: ["x" * row for row in rows], Batch(1, batch.jobs.value), frame)
        except WireError as error:
            parts = frame(failed(1, error))
        reader, sent = Reader(ToGateway), b"".join(parts)
        reader.space()[: len(sent)] = sent
        asyncio.get_running_loop().call_soon(handler, *reader.received(len(sent)))
        return 1

    async def scenario():
        process = SimpleNamespace(call=answered)
        batcher = Batcher(
            BatchExecutor(SimpleNamespace(running=process, trouble=None, health=Health())),
            batch_rows=8, queue_rows=64, timeout_s=60.0,
        )  # fmt: skip
        found = await asyncio.gather(*map(batcher, ([3000], [9000], [3001])), return_exceptions=True)
        assert found[0] == ["x" * 3000] and found[2] == ["x" * 3001]
        assert isinstance(found[1], ModelError) and "too many for one message" in str(found[1])
        assert await batcher([1]) == ["x"]

    asyncio.run(scenario())


def test_a_batch_that_is_answered_with_another_message_is_over():
    """A process may send anything: an event is ignored, and any other message fails the batch once."""
    handlers, ended = [], []
    call = lambda make, handler: handlers.append(handler) or 1

    async def scenario():
        executor = BatchExecutor(SimpleNamespace(running=SimpleNamespace(call=call)))
        executor.start([Job([1], 0, None)], 60.0, lambda outcomes, seconds: ended.append(outcomes))
        handlers[0](Event(1, "token", "x"))
        assert not ended
        handlers[0](Answer(1, [1], [], Usage()))

    asyncio.run(scenario())
    assert [str(error) for (error,) in ended] == ["its process sent Answer for a batch"]


def test_calls_that_a_process_has_begun_with_are_not_given_back():
    """The news that it began may come after the call was asked back; a loop that is blocked tells nothing."""

    async def scenario():
        process, heard = ModelProcess(), {}
        process.loaded = Loaded(True, False, None, False, False)
        for name in ("begun", "begins", "returned", "silent"):
            process.call(lambda number: Ask(number, None), partial(heard.__setitem__, name))
        process._take(Begun(1))
        process.give_back()
        process._take(Begun(2))
        process._take(Failed(3, "interrupted", ""))
        assert list(heard) == ["returned"]
        await until_async(lambda: "silent" in heard, "the process tells nothing")
        assert [(name, message.begun) for name, message in heard.items()] == [
            ("returned", False),
            ("silent", False),
        ]
        assert process.wanted == 2
        process._take(Answer(2, [1], [], Usage()))
        assert heard["begins"].predictions == [1]

    asyncio.run(scenario())


def test_pauses_between_restarts_grow_and_end(monkeypatch):
    """At once, then later and later; a version that is unhealthy waits for a minute at most."""
    monkeypatch.setattr(health, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    state, pauses = Health(), []
    for _ in range(10):
        state.failed("it crashed")
        pauses.append(state.next_try - 1000.0)
    assert pauses[:8] == sorted(pauses[:8]) and pauses[0] == 0 and pauses[4] == 5
    assert pauses[-1] == health.MAX_PAUSE_S and "10 failures" in state.reason
    state.loaded()
    assert state.reason == ""


def test_a_process_that_cannot_be_started_is_a_refusal(tmp_path, obedient, monkeypatch):
    """Python itself cannot be started: the version is refused with the system's reason."""

    def fail():
        raise OSError("Cannot allocate memory")

    async def scenario():
        monkeypatch.setattr(process, "forker", Forker())
        monkeypatch.setattr(template, "start", fail)
        async with staged(tmp_path) as stage:
            await stage.serve(1, obedient)
            assert "Cannot allocate memory" in stage.models.refused["champion"].reason

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "sent", [None, 3.0, "text", {"a": 1}, [1.0], [1.0, 2.0, 3.0], np.array(1.0), np.zeros((3, 2))]
)
def test_an_answer_of_another_form_is_an_error_for_the_callers(sent):
    """A process that sends anything but one prediction a row is not believed."""
    jobs = [Job([{"x": 1}], 0, None), Job([{"x": 2}], 0, None)]
    found = outcomes(jobs, Answers(1, sent, [], {}, 0.0))
    assert [problem.code for problem in found] == ["wrong_prediction_count"] * 2
