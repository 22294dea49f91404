"""A model that computes, in a process of its own: whatever its code does, its callers learn of it and nobody else."""

import math
import os
import signal
from datetime import datetime

import numpy as np
import pytest

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.images import Described
from mlops_lib.errors import InputError, ModelError
from serving.isolation import failures, messages
from serving.isolation.computing import answer
from serving.isolation.wire import Reader, WireError, Writer
from serving.web.problems import Problem
from tests.support import model_process
from tests.support.model_process import is_alive
from tests.support.waiting import until


@pytest.fixture(scope="module")
def process(template, obedient, settings):
    """A process of the model that evaluates its rows; for tests that leave it in order."""
    with model_process.running(template, obedient, settings) as running:
        yield running


@pytest.fixture
def victim(template, obedient, settings):
    """A process of the same model, for a test that ends it."""
    with model_process.running(template, obedient, settings) as running:
        yield running


def marked(folder, text):
    """An expression that first makes the file `begun`."""
    return f"(open({str(folder / 'begun')!r}, 'w').close(), {text})"


def error_of(answers, job=0):
    """The exception that a caller's future gets."""
    return failures.exception(answers.failed[job])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 1", 2),
        ("2 ** 70", 2**70),
        ("-(2 ** 63) - 1", -(2**63) - 1),
        ("b'\\xff\\x00'", b"\xff\x00"),
        ("None", None),
        ("'naïve \\u0000'", "naïve \0"),
        ("{'a': [1, {'b': (2.5,)}]}", {"a": [1, {"b": [2.5]}]}),
        ("{1: True}", {1: True}),
        ("np.arange(3)", [0, 1, 2]),
        ("np.str_('text')", "text"),
        ("__import__('datetime').datetime(2020, 1, 1)", "2020-01-01T00:00:00"),
        ("__import__('decimal').Decimal('1.10')", "1.10"),
    ],
)
def test_values_of_predictions(process, text, value):
    """A prediction has the value that JSON shows."""
    answers = process.do(text)
    assert (list(answers.predictions), answers.bad, answers.failed) == ([value], [], {})


def test_a_whole_number_that_is_too_large_fails_its_caller_alone(process):
    """The model's process goes on, and so do the rows of the others."""
    answers = process.do("2 ** 8190", "1", "{'a': [2 ** 8192]}")
    assert answers.predictions == [2**8190, 1] and list(answers.failed) == [2]
    assert "a whole number of 1025 bytes is too large; the limit is 1024" in str(error_of(answers, 2))
    assert process.do("1").predictions == [1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8", "uint64", "bool_"])
def test_arrays_of_predictions_keep_their_dtype(process, dtype):
    """An array comes back as an array of the same numbers."""
    answers = process.do(f"np.{dtype}(1)", f"np.{dtype}(0)")
    assert answers.predictions.dtype == np.dtype(dtype) and answers.predictions.tolist() == [1, 0]


def test_numbers_that_are_not_finite_are_counted(process):
    """NaN and infinities are reported by their place, at any depth."""
    answers = process.do("1.0", "float('nan')", "[2.0, {'deep': -float('inf')}]", "2")
    assert answers.bad == [1, 2] and answers.failed == {} and math.isnan(answers.predictions[1])
    assert process.do("np.float32('inf')", "np.float32(1)").bad == [0]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("sys.exit(3)", "SystemExit"),
        ("fail(KeyboardInterrupt())", "KeyboardInterrupt"),
        ("fail(GeneratorExit())", "GeneratorExit"),
        ("fail(ValueError('secret'))", "ValueError"),
        ("fail(type('Evil', (Exception,), {'__str__': lambda self: 1 / 0})())", "Evil"),
        ("(lambda f: f(f))(lambda f: f(f))", "RecursionError"),
        ("fail(ValueError('\\ud800'))", "ValueError"),
        ("(lambda cycle: cycle.append(cycle) or cycle)([])", "RecursionError"),
        ("fail(type('Long' * 1000, (Exception,), {})('x' * 10**7))", ("Long" * 1000)[:200]),
    ],
)
def test_any_exception_fails_the_callers_rows_alone(process, text, kind):
    """The other callers of the batch get their answers, and the process goes on."""
    answers = process.do("1", text, "3")
    assert answers.predictions == [1, 3] and answers.bad == [] and list(answers.failed) == [1]
    error = error_of(answers, 1)
    assert isinstance(error, failures.ModelCodeError) and str(error) == kind and "secret" not in str(error)
    assert kind in error.__notes__[0]
    assert process.do("1 + 1").predictions == [2]


def test_half_a_surrogate_pair_fails_its_caller_alone_with_the_reason(process):
    """Such a text is no UTF-8, so no answer can hold it."""
    answers = process.do("1", "'\\ud800'", "3")
    assert answers.predictions == [1, 3] and list(answers.failed) == [1]
    assert "half of a surrogate pair" in str(error_of(answers, 1))
    assert process.do("1 + 1").predictions == [2]


def test_a_model_that_returns_one_array_again_and_again_mixes_up_no_callers():
    """One row fails, so parts of the batch are called one after another, into the same array: each gets its own number."""
    out = np.zeros(4)

    def predict(rows):
        out[: len(rows)] = rows
        return out[: len(rows)]

    answers = answer(predict, messages.Batch(1, [[1.0], ["bad"], [2.0], [3.0]]), Writer().frame)
    (found,) = received(answers)
    assert found.predictions.tolist() == [1.0, 2.0, 3.0] and list(found.failed) == [1]


def received(parts):
    """The messages in the pieces of a frame."""
    reader, sent = Reader(messages.ToGateway), b"".join(parts)
    reader.space()[: len(sent)] = sent
    return reader.received(len(sent))


def test_places_are_counted_without_the_failed_rows(process):
    """After a caller's rows failed, the places of the others are those in `predictions`."""
    jobs = [["1", "float('nan')"], ["fail(KeyError())", "2"], ["3"], ["float('inf')"]]
    answers = process.batch(*([{"do": text} for text in job] for job in jobs))
    assert [str(one) for one in answers.predictions] == ["1", "nan", "3", "inf"] and answers.bad == [1, 3]
    assert list(answers.failed) == [1]


def test_secrets_are_masked_in_tracebacks(process):
    """A traceback for the log has no key, and no password of an address."""
    code = "fail(ValueError('at postgresql://user:password1@host/db'))"
    assert "password1@" not in process.do(code).failed[0].traceback.replace(code, "")


def test_errors_keep_their_kind():
    """The platform's errors are the same exceptions in the gateway; another exception is its type's name."""

    def back(error):
        return failures.exception(failures.failed(1, error))

    assert (
        isinstance(back(InputError("no column")), InputError)
        and str(back(InputError("no column"))) == "no column"
    )
    assert type(back(ModelError("no answer"))) is ModelError
    problem = back(Problem(failures.HTTPStatus.CONFLICT, "busy", "later", retry_after_s=3))
    assert (problem.status, problem.code, problem.detail, problem.retry_after_s) == (409, "busy", "later", 3)
    bad = back(BadValue(3, "when", datetime(2020, 1, 1), "a date"))
    assert isinstance(bad, BadValue) and (bad.row, bad.column, bad.value) == (
        3,
        "when",
        "2020-01-01T00:00:00",
    )
    described = back(BadValue(3, "photo", Described("12 bytes"), "an image")).value
    assert isinstance(described, Described) and described == "12 bytes"
    too_large = back(WireError("9 bytes are too many"))
    assert type(too_large) is ModelError and str(too_large) == "9 bytes are too many"
    assert len(str(back(InputError("x" * 10**7)))) < 20_000
    assert back(failures.exception(messages.Failed(1, "problem", "x", status=99))).kind == "ModelCodeError"


@pytest.mark.parametrize(
    "text", ["time.sleep(60)", "loop()", "threading.Event().wait()", "subprocess.run(['sleep', '60'])"]
)
def test_a_call_that_hangs_is_interrupted(process, tmp_path, text):
    """SIGUSR1 ends Python code, a sleep and a wait; the process goes on."""
    process.start(messages.Batch, [[{"do": "1"}], [{"do": marked(tmp_path, text)}]])
    until((tmp_path / "begun").exists, "the call is under way")
    process.interrupt()
    assert process.receive().kind == "interrupted"
    assert process.do("1 + 1").predictions == [2]


def test_an_interruption_between_two_calls_does_nothing(process):
    """A time-out that comes when the answer is on its way fails no call."""
    for number in range(50):
        process.start(messages.Batch, [[{"do": str(number)}]])
        assert process.receive().predictions == [number]
        process.interrupt()
        assert isinstance(process.ping(), messages.Pong)


@pytest.mark.parametrize("text", ["native()", "deaf()"])
def test_a_call_that_cannot_be_interrupted_is_killed(victim, tmp_path, text):
    """Code that holds Python's lock, or swallows every exception, ends with its process."""
    victim.start(messages.Batch, [[{"do": marked(tmp_path, text)}]])
    until((tmp_path / "begun").exists, "the call is under way")
    victim.interrupt()
    victim.kill()
    assert victim.receive() is None and victim.wait_for_exit() == signal.SIGKILL


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("os._exit(3)", 3 << 8),
        ("ctypes.string_at(0)", signal.SIGSEGV),
        ("os.abort()", signal.SIGABRT),
        ("os.kill(os.getpid(), 9)", signal.SIGKILL),
    ],
)
def test_a_process_that_ends_is_reported(victim, process, text, status):
    """The gateway learns the wait status; other processes go on."""
    victim.start(messages.Batch, [[{"do": text}]])
    assert victim.receive() is None and victim.wait_for_exit() & 0xFF7F == status
    assert process.do("1 + 1").predictions == [2]


def test_everything_that_a_model_started_ends_with_it(victim):
    """Subprocesses are killed with their model process, also those that ignore SIGTERM."""
    code = "subprocess.Popen([sys.executable, '-c', 'import signal, time; signal.signal(15, 1); time.sleep(600)']).pid"
    (started,) = victim.do(code).predictions
    assert is_alive(started)
    victim.start(messages.Batch, [[{"do": "os._exit(0)"}]])
    victim.wait_for_exit()
    until(lambda: not is_alive(started), "the subprocess has ended")


def test_threads_of_a_model_do_not_keep_its_process(victim):
    """The process ends when the gateway closes its socket, whatever its threads do."""
    assert victim.do("threading.Thread(target=deaf).start()").predictions == [None]
    victim.socket.close()
    assert victim.wait_for_exit() == 0


def test_a_model_has_no_socket_but_its_own(process):
    """No connection of the gateway or of another version is open in the process, and none in a program it starts."""
    count = "sum(name.startswith('socket') for name in map(os.readlink, __import__('glob').glob('/proc/self/fd/*')))"
    assert process.do(
        count.replace("os.readlink", "lambda fd: os.path.lexists(fd) and os.readlink(fd) or ''")
    ).predictions == [1]
    listed = "subprocess.run(['ls', '-l', '/proc/self/fd'], capture_output=True, text=True, close_fds=False).stdout"
    assert "socket:" not in process.do(listed).predictions[0]


def test_the_process_knows_nothing_of_the_service(process):
    """Arguments are not those of the gateway, and bytecode is not written, by programs it starts neither."""
    assert process.do("sys.argv", "sys.dont_write_bytecode", "os.environ['PYTHONDONTWRITEBYTECODE']").predictions == [
        ["model"], True, "1",
    ]  # fmt: skip
    assert process.do("os.getpgid(0) == os.getsid(0) == os.getpid()").predictions == [True]


def test_a_fork_of_the_process_answers_nothing(process):
    """Code that forks and forgets to end its child gets one answer: that of the process."""
    assert process.do("os.fork() and 'parent'").predictions == ["parent"]
    assert process.do("1 + 1").predictions == [2]


def test_memory_is_taken_from_the_model_first(process):
    """The kernel ends a model process before the gateway when memory runs out."""
    with open(f"/proc/{process.pid}/oom_score_adj") as file:
        assert int(file.read()) >= 500


def test_random_numbers_differ_between_processes(process, victim):
    """Forks of one template do not draw the same numbers."""
    for text in ("__import__('random').random()", "float(np.random.rand())"):
        assert process.do(text).predictions != victim.do(text).predictions


@pytest.fixture(scope="module")
def sums(template, tmp_path_factory):
    """A process of a model that takes a matrix of two columns."""
    folder = tmp_path_factory.mktemp("sums")
    model = model_process.make_sum(folder / "model", 2)
    with model_process.running(
        template, model, model_process.settings_in(folder / "project", model_process.SUM)
    ) as it:
        yield it


def test_rows_of_a_matrix(sums):
    """Tuples in the order of the columns are encoded in the process; a missing value is NaN."""
    answers = sums.batch([(1, 2.5)], [(0.5, 1), (None, 1)])
    assert answers.predictions[:2].tolist() == [3.5, 1.5] and answers.bad == [2]


@pytest.mark.slow
def test_a_large_batch_both_ways(sums):
    """10 MB of rows go over, and the sums come back."""
    rows = [(float(number), 0.5) for number in range(600_000)]
    answers = sums.batch(rows)
    assert answers.predictions.dtype == np.float64
    assert np.array_equal(answers.predictions, np.arange(600_000) + 0.5)


def test_a_bad_value_names_the_row_of_its_caller(sums):
    """Rows are counted from the first one of the caller, whose neighbours get their answers."""
    answers = sums.batch([(1, 1)], [(1, 1), (1, 1e400)], [(2, 2)])
    error = error_of(answers, 1)
    assert isinstance(error, BadValue) and (error.row, error.column) == (1, "c1")
    assert answers.predictions.tolist() == [2, 4]


@pytest.mark.slow
def test_the_gateways_end_ends_template_and_processes(obedient, settings):
    """When the gateway is gone, however it ended, nothing of it is left: a process that hangs neither."""
    template = model_process.Template()
    process = model_process.ModelProcess(template, obedient, settings)
    assert isinstance(process.receive(), messages.Loaded)
    process.start(messages.Batch, [[{"do": "native()"}]])
    template.socket.close()
    template.process.wait()
    until(lambda: not is_alive(process.pid), "the model process has ended")


@pytest.mark.slow
def test_processes_end_with_a_template_that_is_killed(obedient, settings):
    """The kernel ends the processes of a template that cannot do so itself."""
    template = model_process.Template()
    process = model_process.ModelProcess(template, obedient, settings)
    assert isinstance(process.receive(), messages.Loaded)
    os.kill(template.process.pid, signal.SIGKILL)
    template.process.wait()
    until(lambda: not is_alive(process.pid), "the model process has ended")
    assert process.receive() is None
