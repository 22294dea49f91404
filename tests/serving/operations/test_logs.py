"""What the service writes to its log."""

import json
import logging
import re
import sys

import pytest

from serving.operations.logs import MAX_CHARS, JsonLines, shown


def test_no_line_has_a_password_of_an_address():
    """A driver's error, in the message or in a traceback, has its database's address in it; the password is masked."""
    error = OSError("redis://u:hunter2@store:6379 refused")
    try:
        raise error
    except OSError:
        record = logging.LogRecord(
            "serving", logging.ERROR, "f", 1, "lookup failed: %s", (error,), sys.exc_info()
        )
    line = json.loads(JsonLines().format(record))
    assert line["message"] == "lookup failed: redis://***@store:6379 refused"
    assert "Traceback" in line["traceback"] and "hunter2" not in str(line)


@pytest.mark.parametrize("before", range(MAX_CHARS // 2 - 30, MAX_CHARS // 2 + 5))
def test_a_cut_through_an_address_shows_no_password(before):
    """Wherever the cut falls: half an address would not be known for one."""
    address = "redis://u:hunter2@store:6379"
    text = "a" * before + address + "b" * 10 * MAX_CHARS + address + "c" * before
    assert not re.search("hunt|nter|ter2", shown(text))


def test_a_long_line_has_its_beginning_and_its_end():
    """An error that quotes a whole request costs one short line, whose end says what was raised."""
    record = logging.LogRecord("serving", logging.ERROR, "f", 1, "%s", ("a" + "//x:" * 10**6 + "z",), None)
    message = json.loads(JsonLines().format(record))["message"]
    assert len(message) < 20_000 and message[0] == "a" and message[-1] == "z"
