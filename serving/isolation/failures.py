"""Exceptions across the wire: a `Failed` of an exception in a model process, and the exception again in the gateway."""

import traceback
from http import HTTPStatus
from typing import Any

import msgspec

from mlops_lib.columns.encode import BadValue
from mlops_lib.columns.images import Described
from mlops_lib.errors import InputError, MlopsError, ModelError, ThreadError
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.redact.output import shown
from serving.blocking_calls import Interrupted
from serving.inference import upstream
from serving.inference.json_values import encode_json
from serving.isolation.messages import Failed
from serving.web.problems import Problem

MAX_NAME = 200
STATUSES = {status.value for status in HTTPStatus if status >= HTTPStatus.BAD_REQUEST}


class ModelCodeError(Exception):
    """A model's code raised an exception that is not the platform's. Its note has the traceback, for the log.

    Attributes:
        kind: The exception's type, which is all that a caller sees.
    """

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def failed(call: int, error: BaseException, usage: Usage | None = None) -> Failed:
    """The message for an exception. Any exception of a model's code is one, SystemExit too."""
    error = upstream.refusal(error) or error
    text = _sound(shown(_text(error)))
    if isinstance(error, Interrupted):
        return Failed(call, "interrupted", "The call was ended.", traceback=_traceback(error), usage=usage)
    if isinstance(error, BadValue):
        value, described = _sendable(error.value), isinstance(error.value, Described)
        return Failed(
            call, "bad_value", text, row=error.row, column=error.column, value=value, described=described,
            wanted=error.wanted, usage=usage,
        )  # fmt: skip
    if isinstance(error, InputError):
        code = error.code if isinstance(error, ThreadError) else ""
        return Failed(call, "input", text, code=code, usage=usage)
    if isinstance(error, Problem):
        status, after_s = error.status.value, error.retry_after_s
        return Failed(
            call, "problem", text, status=status, code=error.code, retry_after_s=after_s, usage=usage
        )
    if isinstance(error, MlopsError):
        return Failed(call, "model", text, traceback=_traceback(error), usage=usage)
    kind = type(error).__name__[:MAX_NAME]
    return Failed(call, "error", kind, traceback=_traceback(error), usage=usage)


def exception(sent: Failed) -> Exception:
    """The exception of a message that is no interruption. A row number still counts from the call's first row."""
    error: Exception
    if sent.kind == "bad_value":
        value = Described(sent.value) if sent.described else sent.value
        return BadValue(sent.row, sent.column, value, sent.wanted)
    if sent.kind == "input":
        return ThreadError(sent.code, sent.message) if sent.code else InputError(sent.message)
    if sent.kind == "problem" and sent.status in STATUSES:
        return Problem(HTTPStatus(sent.status), sent.code, sent.message, sent.retry_after_s)
    error = ModelError(sent.message) if sent.kind == "model" else ModelCodeError(sent.message)
    if sent.traceback:
        error.add_note(f"In the model's process:\n{sent.traceback}")
    return error


def _sound(text: str) -> str:
    """Text with the halves of surrogate pairs escaped: a model may quote them, and no encoding has them."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception of a model's own may fail at this too
        return type(error).__name__


def _traceback(error: BaseException) -> str:
    try:
        lines = "".join(traceback.format_exception(error))
    except Exception:
        lines = type(error).__name__
    return _sound(shown(lines))


def _sendable(value: Any) -> Any:
    """The value of a BadValue, as JSON has it; its text where it has no JSON."""
    try:
        return msgspec.json.decode(encode_json(value))
    except Exception:
        return _sound(repr(value))
