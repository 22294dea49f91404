"""A verdict in words: sentences for reasons, and the tables of a notebook and a terminal."""

from mlops_lib.evaluation.report import Comparison, Outcome

WORDS: dict[Outcome, str] = {
    "better": "better",
    "not_worse": "not worse",
    "worse": "worse",
    "undecided": "undecided",
}


def sentence(one: Comparison, version: int, confidence: float) -> str:
    """The outcome of a comparison with the numbers behind it."""
    where = f" on {one.slice}" if one.slice else ""
    found = f"{one.metric}{where} is {WORDS[one.outcome]} than" if one.outcome in ("better", "worse") else (
        f"{one.metric}{where} is not worse than" if one.outcome == "not_worse" else
        f"{one.metric}{where} is undecided against"
    )  # fmt: skip
    parts = [f"{found} version {version}"]
    if one.challenger is not None and one.champion is not None:
        parts[0] += f": {one.challenger:.4g} against {one.champion:.4g}"
    if one.difference is not None and one.low is not None and one.high is not None:
        parts[0] += (
            f", difference {one.difference:+.2g}, {confidence:.0%} interval {one.low:+.2g} to {one.high:+.2g}, "
            f"margin {one.margin:.2g}"
        )
    parts[0] += "."
    if one.reason:
        parts.append(f"{one.reason[0].upper()}{one.reason[1:]}.")
    if one.outcome == "undecided":
        parts.append(_more_rows(one))
    return " ".join(parts)


def _more_rows(one: Comparison) -> str:
    if one.rows_needed >= 1_000_000_000:
        return f"More than these {one.rows:,} rows would not decide; a larger margin could."
    return f"About {one.rows_needed:,} rows would decide; there are {one.rows:,}."
