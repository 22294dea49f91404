"""Answer the rows of an evaluation, many at once, with time, tokens and money for each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from mlops_lib.llm.accounting.cassette import row_key
from mlops_lib.llm.accounting.ledger import current, tally
from mlops_lib.llm.accounting.turns import one_row
from mlops_lib.llm.generation import Generation
from mlops_lib.llm.traces.trajectory import of_output

NOT_ASKED = "Not asked: the budget was spent."

#: Answers one row.
Generate = Callable[[Mapping[str, Any]], Awaitable[Generation]]


async def answer_all(
    generate: Generate, rows: Sequence[dict[str, Any]], concurrency: int
) -> list[Generation]:
    """One Generation for each row, in order; a failed row has an error instead of an answer."""
    from tqdm.auto import tqdm

    gate = asyncio.Semaphore(concurrency)
    with tqdm(total=len(rows), desc="answering", unit="row", mininterval=1.0) as bar:

        async def one(row: dict[str, Any]) -> Generation:
            async with gate:
                made = await _measured(generate, row)
            if ledger := current():
                spent = ledger.spent
                bar.set_postfix_str(f"{spent.calls} calls, ${spent.cost_usd:.4f}", refresh=False)
            bar.update()
            return made

        return list(await asyncio.gather(*map(one, rows)))


async def _measured(generate: Generate, row: dict[str, Any]) -> Generation:
    from mlops_lib.llm.traces.recorder import recording  # imports LangChain, which a service may do without

    ledger, key = current(), row_key(row)
    if ledger and not ledger.cassette.knows_row(key) and (ledger.stopped or ledger.cassette.strict):
        return Generation(row, error=NOT_ASKED)
    began = time.monotonic()
    with tally() as usage, one_row(), recording() as recorder:
        try:
            made = await generate(row)
        except Exception as error:  # a graph may raise anything, and one row must not end the evaluation
            made = Generation(row, error=f"{type(error).__name__}: {error}")
    took_s = time.monotonic() - began
    if ledger:
        took_s = ledger.cassette.latency_of(key, took_s, 0 < usage.calls == usage.reused)
    found = next(
        (one for one in (recorder.trajectory, made.trajectory) if one.events), of_output(made.output)
    )
    return replace(made, latency_s=round(took_s, 4), usage=usage, trajectory=found)
