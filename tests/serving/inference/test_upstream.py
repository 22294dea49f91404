"""Refusals of LLM vendors, as their SDKs raise them."""

from functools import partial

import httpx2
import pytest

from mlops_lib.errors import ModelError
from serving.inference.upstream import refusal

REQUEST = httpx2.Request("POST", "http://vendor/v1")


def of_openai(status: int, code: str = "", **headers: str) -> Exception:
    """An error of OpenAI's SDK."""
    import openai

    response = httpx2.Response(status, headers=headers, request=REQUEST)
    kind = {429: openai.RateLimitError}.get(
        status, openai.InternalServerError if status >= 500 else openai.APIStatusError
    )
    return kind("refused", response=response, body={"message": "refused", "code": code})


def of_anthropic(status: int, **headers: str) -> Exception:
    """An error of Anthropic's SDK."""
    import anthropic

    response = httpx2.Response(status, headers=headers, request=REQUEST)
    return anthropic.APIStatusError("refused", response=response, body=None)


@pytest.mark.parametrize(
    ("make", "status", "code", "after_s"),
    [
        (partial(of_openai, 429), 429, "llm_rate_limited", 1),
        (partial(of_openai, 429, **{"retry-after": "7"}), 429, "llm_rate_limited", 7),
        (partial(of_openai, 429, **{"retry-after-ms": "20"}), 429, "llm_rate_limited", 1),
        (partial(of_openai, 429, **{"retry-after": "2.2"}), 429, "llm_rate_limited", 3),
        (partial(of_openai, 429, **{"retry-after": "999999"}), 429, "llm_rate_limited", 3600),
        (
            partial(of_openai, 429, **{"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}),
            429,
            "llm_rate_limited",
            1,
        ),
        (partial(of_openai, 429, "insufficient_quota"), 503, "llm_quota_exceeded", 60),
        (partial(of_openai, 429, "billing_hard_limit_reached"), 503, "llm_quota_exceeded", 60),
        (partial(of_openai, 503, **{"retry-after": "5"}), 503, "llm_overloaded", 5),
        (partial(of_anthropic, 429, **{"retry-after": "9"}), 429, "llm_rate_limited", 9),
        (partial(of_anthropic, 529), 503, "llm_overloaded", 1),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["raised", "wrapped"])
def test_a_vendors_refusal_tells_when_to_try_again(make, status, code, after_s, wrapped):
    """Also inside the platform's error and an exception group."""
    error = make()
    if wrapped:
        outer = ModelError("The model could not answer.")
        outer.__cause__ = ExceptionGroup("tasks", [ValueError(), error])
        error = outer
    problem = refusal(error)
    assert problem is not None
    assert (problem.status, problem.code, problem.retry_after_s) == (status, code, after_s)
    assert "refused" not in problem.detail and problem.body("id")


@pytest.mark.parametrize(
    "make",
    [
        partial(of_openai, 401),
        partial(of_openai, 500),
        partial(of_anthropic, 400),
        partial(ValueError, "429"),
        partial(ModelError, "429"),
    ],
)
def test_other_errors_are_none(make):
    """A wrong key, a fault of the vendor's or a number in a text is no refusal."""
    assert refusal(make()) is None


def test_errors_that_cause_each_other_end():
    """A cycle of causes is walked once."""
    first, second = ValueError(), OSError()
    first.__cause__, second.__cause__ = second, first
    assert refusal(first) is None
