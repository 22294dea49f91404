"""Answer the rows of an evaluation, many at once, with time, tokens and money for each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mlops_lib.errors import UnansweredError
from mlops_lib.llm.accounting.ledger import current, tally
from mlops_lib.llm.accounting.turns import one_row
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.traces.trajectory import of_output
from mlops_lib.wrappers.text import interrupts

NOT_ASKED = "Not asked: the budget was spent."

#: Answers one row.
Generate = Callable[[Mapping[str, Any]], Awaitable[Generation]]


class Job(NamedTuple):
    """The work on one row.

    Attributes:
        key: The row's name on the cassette.
        work: Answers it.
    """

    row: Mapping[str, Any]
    key: str
    work: Callable[[], Awaitable[Generation]]


async def answer_all(jobs: Sequence[Job], concurrency: int) -> list[Generation]:
    """One Generation for each job, in order; a failed row has an error instead of an answer."""
    from tqdm.auto import tqdm

    gate = asyncio.Semaphore(concurrency)
    with tqdm(total=len(jobs), desc="answering", unit="row", mininterval=1.0) as bar:

        async def one(job: Job) -> Generation:
            async with gate:
                made = await _done(job)
            if ledger := current():
                spent = ledger.spent
                bar.set_postfix_str(f"{spent.calls} calls, ${spent.cost_usd:.4f}", refresh=False)
            bar.update()
            return made

        return list(await asyncio.gather(*map(one, jobs)))


async def _done(job: Job) -> Generation:
    ledger = current()
    if ledger and not ledger.cassette.knows_row(job.key) and (ledger.stopped or ledger.cassette.strict):
        return Generation(job.row, error=NOT_ASKED)
    with one_row():
        made = await job.work()
    took_s = made.latency_s
    if ledger:
        took_s = ledger.cassette.latency_of(job.key, took_s, 0 < made.usage.calls == made.usage.reused)
    return replace(made, latency_s=round(took_s, 4))


async def measured(generate: Generate, row: Mapping[str, Any]) -> Generation:
    """The answer to a row with time, costs and trajectory; an error of the model is in it."""
    from mlops_lib.llm.traces.recorder import recording  # imports LangChain, which a service may do without

    began = time.monotonic()
    with tally() as usage, recording() as recorder:
        try:
            made = await generate(row)
        except UnansweredError as error:
            made = Generation(row, error=f"InputError: {interrupts.unanswered(error.questions)}")
        except Exception as error:  # a graph may raise anything, and one row must not end the evaluation
            made = Generation(row, error=f"{type(error).__name__}: {error}")
    took_s = time.monotonic() - began
    found = next(
        (one for one in (recorder.trajectory, made.trajectory) if one.events), of_output(made.output)
    )
    return replace(made, latency_s=took_s, usage=usage, trajectory=found)
