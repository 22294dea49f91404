"""The gate's statistics: false promotions, power, and time against a plain loop over scikit-learn.

``python -m benchmarks.gate [false|power|time] [--pairs 1000]``.
"""

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from mlops_lib.evaluation.history import blocks
from mlops_lib.evaluation.judged import JudgedRows
from mlops_lib.evaluation.paired import compare
from mlops_lib.evaluation.report import Comparison

RESAMPLES = 2_000
#: Series, times of each, and autocorrelation of the errors.
FORECASTS = [(1, times, c) for times in (28, 60, 365) for c in (0.0, 0.5, 0.8)] + [(30, 60, 0.5)]
#: Challenger, champion, and the metric to compare them in.
Pair = tuple[JudgedRows, JudgedRows, str]
WORDS = [f"word{number}" for number in range(60)]


def classification(rng: np.random.Generator, entities: int = 200) -> Pair:
    """Two equally good classifiers on entities of one to five rows that share label
    and most of their noise."""
    entity = np.repeat(np.arange(entities), rng.integers(1, 6, entities))
    truth = rng.integers(0, 2, entities)[entity]

    def probabilities() -> np.ndarray:
        score = truth - 0.5 + rng.normal(0, 0.8, entities)[entity] + rng.normal(0, 0.3, len(entity))
        return 1 / (1 + np.exp(-2 * score))

    keys = [str(one) for one in entity]
    one, other = (judged("classification", truth, probabilities(), keys, [0, 1]) for _ in range(2))
    return one, other, "roc_auc"


def regression(rng: np.random.Generator, rows: int = 400) -> Pair:
    """Two equally good regressions with heavy tails."""
    truth = rng.normal(0, 3, rows)
    one, other = (judged("regression", truth, truth + rng.standard_t(4, rows)) for _ in range(2))
    return one, other, "rmse"


def text(rng: np.random.Generator, rows: int = 200) -> Pair:
    """Two models whose answers lack a fifth of the words, in corpus BLEU."""
    truth = [rng.choice(WORDS, rng.integers(5, 20)) for _ in range(rows)]

    def answers() -> JudgedRows:
        made = [" ".join(words[rng.random(len(words)) < 0.8]) or words[0] for words in truth]
        references = [" ".join(words) for words in truth]
        return judged("text", references, made, values={"bleu": [1.0] * rows})

    return answers(), answers(), "bleu"


def ranking(rng: np.random.Generator, groups: int = 200) -> Pair:
    """Two equally good rankings of groups of 5 to 15 rows, whose scores share most of their noise."""
    keys = np.repeat(np.arange(groups), rng.integers(5, 16, groups))
    truth = rng.choice([0.0, 1.0, 2.0], len(keys), p=[0.7, 0.2, 0.1])
    shared = truth + rng.normal(size=len(keys))
    one, other = (
        judged("ranking", truth, shared + 0.3 * rng.normal(size=len(keys)), [str(key) for key in keys])
        for _ in range(2)
    )
    return one, other, "ndcg_at_k"


def forecast(rng: np.random.Generator, times: int, correlation: float, series: int = 1) -> Pair:
    """Two equally good forecasts, whose errors depend on the time before; half of the variance is of all series."""
    steps = np.tile(np.arange(times), series)
    facts = {"horizon": steps + 1, "key": np.repeat(np.arange(series), times).astype(str).tolist()}

    def errors(columns: int) -> np.ndarray:
        found = rng.normal(size=(times, columns))
        for at in range(1, times):
            found[at] = correlation * found[at - 1] + np.sqrt(1 - correlation**2) * found[at]
        return found

    def model() -> JudgedRows:
        off = errors(1) if series == 1 else np.sqrt(0.5) * (errors(1) + errors(series))
        rows = judged("forecast", np.zeros(len(steps)), off.T.ravel(), blocks(steps))
        return dataclasses.replace(rows, facts=facts)

    return model(), model(), "mae"


def binormal(rng: np.random.Generator, rows: int, difference: float) -> Pair:
    """Two classifiers with a ROC AUC of 0.8 + `difference` and 0.8, whose noise has a correlation of 0.7."""
    truth = np.arange(rows) % 2
    shared = np.sqrt(0.7) * rng.normal(size=rows)

    def model(auc: float) -> JudgedRows:
        score = truth * NormalDist().inv_cdf(auc) * np.sqrt(2) + shared + np.sqrt(0.3) * rng.normal(size=rows)
        return judged("classification", truth, 1 / (1 + np.exp(-score)), classes=[0, 1])

    return model(0.8 + difference), model(0.8), "roc_auc"


def judged(
    task: str,
    truth: object,
    predicted: object,
    keys: Sequence[str] = (),
    classes: Sequence[int] = (),
    values: dict[str, list[float | None]] | None = None,
) -> JudgedRows:
    """Rows with ids 0, 1, 2 ...; without keys, each is an entity."""
    ids = [str(number) for number in range(len(truth))]  # type: ignore[arg-type]
    return JudgedRows(task, ids, keys or ids, truth, predicted, classes, values=values or {})


def contest(pair: Pair, seed: int, resampled: int = RESAMPLES) -> Comparison:
    """The comparison of a pair on all rows, with the usual margin."""
    challenger, champion, metric = pair
    (found,) = compare(challenger, champion, {metric: None}, resampled=resampled, seed=seed)
    return found


def shares(draw: Callable[[np.random.Generator], Pair], pairs: int, seed: int = 0) -> dict[str, float]:
    """Share of the pairs with each outcome, and with a challenger whose number is better."""
    found = {name: 0.0 for name in ("better", "not_worse", "worse", "undecided", "number is better")}
    for pair in range(pairs):
        one = contest(draw(np.random.default_rng([seed, pair])), pair)
        found[one.outcome] += 1 / pairs
        found["number is better"] += ((one.difference or 0.0) > 0) / pairs
    return found


def false_promotions(pairs: int) -> None:
    """Print the outcomes of pairs of equally good models."""
    print(f"{pairs} pairs of equally good models, {RESAMPLES} resamples\n")
    print("| task, metric | better | not worse | worse | undecided | bare number is better |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, draw in (
        ("classification, ROC AUC, 200 entities of 1 to 5 rows", classification),
        ("the same, if rows counted as entities", rows_as_entities),
        ("regression, RMSE, 400 rows", regression),
        ("text, BLEU, 200 rows", text),
        ("ranking, NDCG at 10, 200 groups", ranking),
        *(
            (
                f"forecast, MAE, {series} series of {times} times, autocorrelation {correlation:g}",
                lambda rng, t=times, c=correlation, s=series: forecast(rng, t, c, s),  # type: ignore[misc]
            )
            for series, times, correlation in FORECASTS
        ),
    ):
        print(
            f"| {name} | " + " | ".join(f"{share:.1%}" for share in shares(draw, pairs).values()) + " |",
            flush=True,
        )


def rows_as_entities(rng: np.random.Generator) -> Pair:
    """`classification`, with each row taken for an entity: what a bootstrap over rows concludes."""
    one, other, metric = classification(rng)
    return *(
        judged("classification", rows.truth, rows.predicted, classes=[0, 1]) for rows in (one, other)
    ), metric  # type: ignore[return-value]


def power(pairs: int) -> None:
    """Print the share found better, by true difference and rows."""
    print(f"Share of {pairs} pairs found better, by the true difference in ROC AUC (champion 0.80)\n")
    differences = (0.0, 0.005, 0.01, 0.02, 0.05)
    print(
        "| rows | "
        + " | ".join(f"+{difference:g}" for difference in differences)
        + " | half width of the interval |"
    )
    print("| --- " * (len(differences) + 2) + "|")
    for rows in (500, 2_000, 10_000):
        found = [
            shares(lambda rng, d=difference, n=rows: binormal(rng, n, d), pairs)["better"]  # type: ignore[misc]
            for difference in differences
        ]
        half = contest(binormal(np.random.default_rng(0), rows, 0.0), 0).smallest_difference
        print(
            f"| {rows:,} | " + " | ".join(f"{share:.0%}" for share in found) + f" | {half:.4f} |", flush=True
        )


def timing(looped: int = 20, rows: int = 10_000, slices: int = 10) -> None:
    """Print the processor seconds of a comparison, and of a loop over scikit-learn (from a few resamples)."""
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    challenger, champion, metric = binormal(rng, rows, 0.01)
    of_row = rng.integers(0, slices, rows)
    groups = {f"slice={number}": np.flatnonzero(of_row == number) for number in range(slices)}
    compare(challenger, champion, {metric: None}, groups, resampled=200)  # imports
    began, clock = time.process_time(), time.perf_counter()
    compare(challenger, champion, {metric: None}, groups, resampled=RESAMPLES)
    ours_s, wall_s = time.process_time() - began, time.perf_counter() - clock
    began = time.process_time()
    for _ in range(looped):
        drawn = rng.integers(0, rows, rows)
        parts = [drawn, *(drawn[of_row[drawn] == number] for number in range(slices))]
        for model in (challenger, champion):
            for part in parts:
                roc_auc_score(model.truth[part], model.predicted[part])
    loop_s = (time.process_time() - began) * RESAMPLES / looped
    print(
        f"{rows:,} rows, ROC AUC, {RESAMPLES:,} resamples, all rows and {slices} slices, processor time: "
        f"{ours_s:.2f} s ({wall_s:.2f} s on the clock); a loop over roc_auc_score {loop_s:.0f} s (from {looped} "
        f"resamples), {loop_s / ours_s:.0f} times as long"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", nargs="*", default=["false", "power", "time"])
    parser.add_argument("--pairs", type=int, default=1_000)
    asked = parser.parse_args()
    parts = {
        "false": lambda: false_promotions(asked.pairs),
        "power": lambda: power(max(asked.pairs // 5, 1)),
        "time": timing,
    }
    for part in asked.part:
        parts[part]()
        print()


if __name__ == "__main__":
    main()
