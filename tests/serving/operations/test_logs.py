"""The lines of the service's log."""

import io
import json
import logging
import re
import sys

import pytest

from mlops_lib.redact.output import MAX_CHARS, MaskedRecord, MaskedStream, mask_output, shown
from serving.operations.logs import JsonLines
from serving.web.failures import MAX_LINES, Failures


@pytest.fixture
def masked_process(monkeypatch):
    """This process with its output masked, until the test ends."""
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, getattr(sys, name))
    before = logging.getLogRecordFactory()
    mask_output()
    yield
    logging.setLogRecordFactory(before)


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    """A masked record, with the traceback of `error`."""
    info = (type(error), error, error.__traceback__) if error else None
    return MaskedRecord("serving", logging.ERROR, "f", 1, message, args, info)


def raised(error: Exception) -> Exception:
    """`error` with a traceback."""
    try:
        raise error
    except Exception as caught:
        return caught


def test_no_line_has_a_password_of_an_address():
    """The password in a database driver's error is masked in the message and in the traceback."""
    error = raised(OSError("redis://u:hunter2@store:6379 refused"))
    line = json.loads(JsonLines().format(record("lookup failed: %s", error, error=error)))
    assert line["message"] == "lookup failed: redis://***@store:6379 refused"
    assert "Traceback" in line["traceback"] and "hunter2" not in str(line)


@pytest.mark.parametrize("before", range(MAX_CHARS // 2 - 30, MAX_CHARS // 2 + 5))
def test_a_cut_through_an_address_shows_no_password(before):
    """A long text is masked before it is cut, so that no half of an address stays."""
    address = "redis://u:hunter2@store:6379"
    text = "a" * before + address + "b" * 10 * MAX_CHARS + address + "c" * before
    assert not re.search("hunt|nter|ter2", shown(text))


def test_a_long_line_has_its_beginning_and_its_end():
    """A message of megabytes becomes a short line with the beginning and the end of the message."""
    line = json.loads(JsonLines().format(record("%s", "a" + "//x:" * 10**6 + "z")))
    assert len(line["message"]) < 20_000 and line["message"][0] == "a" and line["message"][-1] == "z"


def test_failures_of_one_kind_are_bounded(caplog, monkeypatch):
    """The first ones have a line each, the others one number; those of another kind or a later window are written."""
    monkeypatch.setattr(logging.getLogger("serving"), "propagate", True)
    failures, kind = Failures(), {"route": "/predict", "status": 422, "error": "invalid_input", "version": 3}
    for number in range(MAX_LINES + 5):
        failures.log(logging.WARNING, kind, request_id=str(number))
    failures.log(logging.WARNING, {**kind, "version": 4}, request_id="other")
    failures.report_left_out()  # the window is not over
    failures.report_left_out(0.0)
    failures.log(logging.WARNING, kind, request_id="later")
    lines = [json.loads(JsonLines().format(each)) for each in caplog.records]
    ids = [line["request_id"] for line in lines if "request_id" in line]
    assert ids == [*map(str, range(MAX_LINES)), "other", "later"]
    (summary,) = (line for line in lines if "left_out" in line)
    assert summary["left_out"] == 5 and summary.items() >= kind.items()


@pytest.mark.parametrize("logger", ["serving", "uvicorn.error", "mlflow", "asyncio", "a.model's.own"])
def test_records_of_every_logger_are_masked(logger, masked_process, monkeypatch):
    """A handler that knows nothing of masking writes message, traceback, cause and stack without the key."""
    key = "a-secret-of-this-test"
    monkeypatch.setenv("ANY_VENDORS_API_KEY", key)
    written = io.StringIO()
    handler = logging.StreamHandler(written)
    found = logging.getLogger(logger)
    found.addHandler(handler)
    try:
        raise raised(ValueError(key)) from raised(OSError(key))
    except ValueError:
        found.exception("%s failed", key, stack_info=True)
    finally:
        found.removeHandler(handler)
    assert key not in written.getvalue() and "direct cause" in written.getvalue()


def test_printed_secrets_are_masked(masked_process, monkeypatch, capsys):
    """print and the traceback of an uncaught error have no key, also when the stream is wrapped twice."""
    monkeypatch.setenv("TECTON_API_KEY", "a-secret-of-this-test")
    mask_output()
    print("the key is", "a-secret-of-this-test")
    sys.stdout.writelines(["again: a-secret-of-this-test\n"])
    error = raised(ValueError("a-secret-of-this-test"))
    sys.excepthook(type(error), error, error.__traceback__)
    assert isinstance(sys.stdout, MaskedStream)
    out, err = capsys.readouterr()
    assert out == "the key is ***\nagain: ***\n" and "ValueError: ***" in err and "a-secret" not in err
