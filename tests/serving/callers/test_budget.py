"""The budget of LLM calls, tokens and money, by key and in total."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_lib.llm.accounting.ledger import count
from mlops_lib.llm.accounting.usage import Usage
from mlops_lib.settings.serving import BudgetSettings
from serving.callers.budget import Budget, Spent
from serving.web.problems import Problem
from tests.support.waiting import LIMIT_S

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC).timestamp()


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def spend(budget: Budget, caller: str = "shop", rows: int = 1, fails: bool = False, **usage: float) -> None:
    """Answer a request whose calls cost `usage`: by default one call a row, of 10 tokens and 1 cent each."""
    used = Usage(**({"calls": rows, "prompt_tokens": 10 * rows, "cost_usd": 0.01 * rows} | usage))  # type: ignore[arg-type]

    async def request() -> None:
        async with budget.spending(caller, rows, "chatty version 1"):
            count(used, None, live=True)
            if fails:
                raise OSError

    asyncio.run(request())


def refused(budget: Budget, caller: str = "shop", rows: int = 1) -> Problem:
    """The refusal of a request."""
    with pytest.raises(Problem) as caught:
        spend(budget, caller, rows)
    return caught.value


@pytest.mark.parametrize(
    ("limit", "requests", "names"),
    [
        ({"calls": 3}, 3, "serving.budget.calls"),
        ({"tokens": 30}, 3, "serving.budget.tokens"),
        ({"tokens": 25}, 3, "serving.budget.tokens"),
        ({"cost_usd": 0.02}, 2, "serving.budget.cost_usd"),
        ({"key_calls": 1}, 1, "serving.budget.key_calls"),
        ({"key_tokens": 11}, 2, "serving.budget.key_tokens"),
        ({"key_cost_usd": 0.03}, 3, "serving.budget.key_cost_usd"),
    ],
)
def test_a_limit_refuses_the_next_request(tmp_path, clock, limit, requests, names):
    """429 names the setting, the limit and the spending, and says when the next period begins."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(**limit), clock)
    for _ in range(requests):
        spend(budget)
    problem = refused(budget)
    assert (problem.status, problem.code) == (429, "budget_exceeded") and names in problem.detail
    assert problem.retry_after_s == 12 * 3600 + 1
    clock.now += problem.retry_after_s
    spend(budget)


def test_rows_are_counted_before_they_are_sent(tmp_path, clock):
    """A request of more rows than calls are left is refused whole, and a smaller one is answered."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(calls=5), clock)
    spend(budget, rows=3)
    problem = refused(budget, rows=3)
    assert "3 are spent, and the request needs 3" in problem.detail
    assert budget.spent() == Spent(3, 30, 0.03)
    spend(budget, rows=2)


def test_a_key_has_its_own_limit(tmp_path, clock):
    """One key's spending is not another's; the total is of both."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(key_calls=2, calls=3), clock)
    spend(budget, "a", rows=2)
    assert "of this API key" in refused(budget, "a").detail
    spend(budget, "b")
    assert "of the service" in refused(budget, "b").detail
    assert budget.spent("a").calls == 2 and budget.spent("b").calls == 1 and budget.spent().calls == 3


def test_requests_at_once_do_not_exceed_the_calls(tmp_path, clock):
    """Of fifty requests at the same time exactly as many are sent as the limit has calls."""
    budget, sent = Budget(tmp_path / "b.db", BudgetSettings(calls=20), clock), []

    async def request() -> None:
        async with budget.spending("shop", 1, "v"):
            sent.append(1)
            await asyncio.sleep(0)
            count(Usage(1), None, live=True)

    async def all_of_them() -> list[object]:
        return await asyncio.gather(*(request() for _ in range(50)), return_exceptions=True)

    answers = asyncio.run(all_of_them())
    assert len(sent) == 20 and sum(isinstance(one, Problem) for one in answers) == 30
    assert budget.spent().calls == 20


@pytest.mark.parametrize("limits", [{"calls": 2}, {"key_tokens": 15}], ids=str)
def test_spending_survives_a_restart_and_is_shared_by_workers(tmp_path, clock, limits):
    """Two services on one file count together."""
    settings = BudgetSettings(**limits)
    one, other = (Budget(tmp_path / "b.db", settings, clock) for _ in range(2))
    spend(one)
    spend(other)
    assert refused(one).code == refused(other).code == "budget_exceeded"
    one.close()
    assert refused(Budget(tmp_path / "b.db", settings, clock)).code == "budget_exceeded"


@pytest.mark.parametrize(
    ("fails", "calls", "counted"), [(True, 0, 3), (True, 5, 5), (False, 7, 7), (False, 1, 1)]
)
def test_the_calls_of_an_answer_are_counted_as_they_were(tmp_path, clock, fails, calls, counted):
    """A graph may make several calls for a row, or none; a row that failed counts as one at least."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(calls=100), clock)
    try:
        spend(budget, rows=3, fails=fails, calls=calls)
    except OSError:
        assert fails
    assert budget.spent().calls == counted


def test_a_caller_who_leaves_pays(tmp_path, clock):
    """Cancelling a request counts the tokens that it had cost."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(tokens=100), clock)

    async def left() -> None:
        called = asyncio.Event()

        async def request() -> None:
            async with budget.spending("shop", 1, "v"):
                count(Usage(1, 40), None, live=True)
                called.set()
                await asyncio.Event().wait()

        task = asyncio.create_task(request())
        await asyncio.wait_for(called.wait(), LIMIT_S)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(left())
    assert budget.spent() == Spent(1, 40, 0.0)


def test_money_without_a_price_is_refused(tmp_path, clock):
    """A version that calls a model without a price is refused after its first answer, and another version is not."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(key_cost_usd=1.0), clock)
    spend(budget, unpriced=1)
    problem = refused(budget)
    assert (problem.status, problem.code) == (503, "llm_price_unknown") and "llm.prices" in problem.detail

    async def other() -> None:
        async with budget.spending("shop", 1, "chatty version 2"):
            pass

    asyncio.run(other())


def test_without_limits_there_is_no_file(tmp_path, clock):
    """Nothing is written; the usage of the block is still added up."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(), clock)

    async def request() -> Usage:
        async with budget.spending("shop", 1, "v") as usage:
            count(Usage(2, 10), None, live=True)
        return usage

    assert asyncio.run(request()).tokens == 10 and not (tmp_path / "b.db").exists()


@pytest.mark.parametrize(
    ("period", "after_s"), [("hour", 3600 + 1), ("day", 12 * 3600 + 1), ("month", (4 * 24 + 12) * 3600 + 1)]
)
def test_periods_end_in_utc(tmp_path, clock, period, after_s):
    """Retry-After leads to the begin of the next hour, day or month."""
    budget = Budget(tmp_path / "b.db", BudgetSettings(calls=1, period=period), clock)
    spend(budget)
    assert refused(budget).retry_after_s == after_s


def test_the_file_is_made_in_a_new_folder(tmp_path: Path, clock):
    """An empty work folder is enough."""
    spend(Budget(tmp_path / "new" / "b.db", BudgetSettings(calls=1), clock))
    assert (tmp_path / "new" / "b.db").exists()
