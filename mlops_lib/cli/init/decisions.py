"""Decide label, task, key, time, metric and left-out columns of a table;
each is checked before a file is written."""

from pathlib import Path

from mlops_lib import plugins
from mlops_lib.cli.init import images, leaks, proposals
from mlops_lib.cli.init.choices import METRICS, Choices
from mlops_lib.cli.init.given import Given
from mlops_lib.cli.init.labels import ENOUGH, Label
from mlops_lib.cli.init.questions import Questions
from mlops_lib.cli.init.table import Table
from mlops_lib.errors import ConfigError, DataError
from mlops_lib.wording import did_you_mean


def decide(table: Table, given: Given, asked: Questions, choices: Choices) -> None:
    """Fill in `choices`.

    Raises:
        ConfigError: A column is not there; a choice does not go with another.
        DataError: The values of a column do not allow the choice.
    """
    label = _label(table, given, asked, choices)
    images.choose_network(table, choices)
    if choices.task == "forecast":  # the time tells what a series is
        _time(table, given, asked, choices)
        _key(table, given, asked, choices)
    else:
        _key(table, given, asked, choices)
        _time(table, given, asked, choices)
    if choices.time and not choices.key and choices.task != "forecast":
        asked.record["key"] = ("", "" if given.key is not None else "no column identifies a row")
    _metric(given, asked, choices)
    set_already = choices.given.get("data.columns", {})
    kind = "classification" if choices.task == "classification" else "regression"
    found = leaks.find(table, choices.label, kind, (choices.key, choices.time, *set_already))
    for name, how in found.items():
        if asked.agrees(f"{name} {how}. Leave it out?", default=True):
            choices.data.setdefault("columns", {})[name] = "drop"
            asked.record[f"without {name}"] = ("dropped", f"it {how}: the model would learn nothing else")
    if found and "columns" in choices.data:
        choices.reasons["data.columns"] = f"gives {choices.label} away, so it is left out"
    ready = table.loader.is_ready_made
    if (
        choices.task == "classification"
        and not (choices.time or ready)
        and (few := min(label.counts.values())) < ENOUGH
    ):
        choices.data["split"] = {"by": "label"}
        choices.reasons["data.split"] = f"the rarest class has {few} rows; each split gets some of them"


def _label(table: Table, given: Given, asked: Questions, choices: Choices) -> Label:
    proposed = proposals.label(table, given.columns)
    if not (given.label or asked.asks or proposed.certain or given.takes_proposals):
        likely = ", ".join([proposed.value, *proposed.others])
        raise ConfigError(
            f"{table.shown}: which column is to be predicted? None has a name that makes it certain. Name it "
            f"with --label. Candidates: {likely}. All columns: {', '.join(table.names)}."
        )
    labels: dict[str, Label] = {}

    def check(name: str) -> None:
        _require(table, name, "label")
        labels[name] = Label.of(name, table.shown, table.columns[name].kind, table.column(name))
        labels[name].check(given.task or labels[name].task()[0])

    question = "Column to predict"
    name = asked.answer("label", given.label or None, proposed.value, proposed.reason, check, question)
    label = labels[name]
    asked.record["label"] = (name, label.shown())
    task, why = label.task()
    choices.label, choices.reasons["data.label"] = name, f"column to predict: {label.shown(3)}"
    choices.task = asked.answer(
        "task", given.task or None, task, why, lambda task: _check_task(label, task), "Task"
    )
    if label.gaps:
        _missing_label(label, given, asked, choices)
    return label


def _check_task(label: Label, task: str) -> None:
    if task not in METRICS:
        raise ConfigError(f"--task is {task!r}. Begin with one of: {', '.join(METRICS)}.")
    label.check(task)


def _missing_label(label: Label, given: Given, asked: Questions, choices: Choices) -> None:
    gaps = f"{label.gaps:,} of {label.rows:,} rows have no {label.name}"
    if given.missing_label != "drop" and not (
        asked.asks and asked.agrees(f"{gaps}. Leave these rows out?", default=False)
    ):
        raise DataError(
            f"{label.where}: {gaps}, the first of them row {label.odd[0]} (counted from 0). If these rows are to be left out, "
            "add --missing-label drop; else fill them in the source."
        )
    choices.data["missing_label"] = "drop"
    choices.reasons["data.missing_label"] = gaps
    asked.record["missing label"] = ("drop", gaps)


def _key(table: Table, given: Given, asked: Questions, choices: Choices) -> None:
    taken = (*given.columns, choices.time)
    proposed = proposals.of_key(choices.task)(table, choices.label, taken)

    def check(name: str) -> None:
        if not name:
            if choices.task == "ranking":
                raise ConfigError(
                    "A ranking orders the rows of each group. Name the column of the group with --key, such as query_id. "
                    f"Columns: {', '.join(table.names)}."
                )
            return
        _require(table, name, "key")
        if name == choices.label:
            raise ConfigError(
                f"{name!r} is both --label and --key. The key is no feature and is not predicted."
            )
        if name in (given.time, choices.time):
            raise ConfigError(f"{name!r} is both --time and --key. Choose another column for one of them.")
        if gaps := table.column(name).null_count:
            raise DataError(
                f"{table.shown}: {gaps:,} of {table.rows:,} rows have no {name!r}, and the key decides the split of "
                "a row. Fill it in the source, or choose another key; without a key: --key ''."
            )

    question = {"ranking": "Column of the group", "forecast": "Column of the series"}.get(
        choices.task, "Column that tells entities apart"
    )
    choices.key = asked.answer("key", given.key, proposed.value, proposed.reason, check, question)
    if choices.key:
        meaning = _key_means(table, choices)
        asked.record["key"] = (choices.key, meaning)
        choices.reasons["data.key"] = f"{meaning}; no feature"
    else:
        choices.reasons["data.key"] = (
            "all rows are one series" if choices.task == "forecast" else "no column tells entities apart"
        )


def _key_means(table: Table, choices: Choices) -> str:
    import pyarrow.compute as pc

    name = choices.key
    distinct = pc.count_distinct(table.column(name)).as_py()
    if distinct == table.rows:
        return "distinct in every row"
    each = f"{table.rows / distinct:.1f} rows a value"
    if choices.task == "forecast":
        return f"{distinct:,} series, {each}"
    return each + ("" if table.loader.is_ready_made else f": rows of one {name} stay in one split")


def _time(table: Table, given: Given, asked: Questions, choices: Choices) -> None:
    proposed = proposals.time(table, choices.label, choices.key)
    needed = choices.task == "forecast"
    if table.loader.is_ready_made:
        proposed = proposals.Proposal("", "the source is split already")
    if {"data.split", "data.split.by"} & choices.given.keys():
        proposed = proposals.Proposal("", "data.split is set")
        needed = False
    asks = proposed.value or proposed.others or needed

    def check(name: str) -> None:
        if not name:
            if needed:
                raise ConfigError(
                    "A forecast needs the time of each row. Name the column with --time. Columns: "
                    f"{', '.join(table.names)}."
                )
            return
        _require(table, name, "time")
        if name in (choices.label, choices.key):
            raise ConfigError(
                f"{name!r} is --time and also --label or --key. Choose another column, or --time ''."
            )
        if gaps := table.column(name).null_count:
            raise DataError(f"{table.shown}: {gaps:,} rows have no {name!r}, so they have no place in time.")
        from mlops_lib.columns.date_forms import order_of
        from mlops_lib.loaders.split_plans import times  # imports NumPy, which the other commands do without

        column = table.column(name)
        times(column, table.shown, name, order=order_of(column.unique().to_pylist()))

    if not asks and given.time is None:
        return
    question = "Column with the time of a row, to test on the latest rows"
    choices.time = asked.answer("time", given.time, proposed.value, proposed.reason, check, question)
    if choices.time:
        choices.reasons["data.split"] = "the latest rows are the test split"
    elif given.time is None and not asked.asks:
        del asked.record["time"]


def _metric(given: Given, asked: Questions, choices: Choices) -> None:
    known = plugins.names("metric", choices.task)

    def check(name: str) -> None:
        if name not in known:
            own = " Set evaluation.metric in config.yaml for a metric of your own." if ":" in name else ""
            raise ConfigError(f"--metric is {name!r}. Metrics of {choices.task}: {', '.join(known)}.{own}")
        choices.metric = name
        choices.settings(Path())  # a threshold that was given can be reached

    usual = {
        "classification": "area under the ROC curve, 0.5 is guessing",
        "forecast": "mean absolute error in changes of the series; below 1 is better than a naive forecast",
    }.get(choices.task, "1 is perfect")
    choices.metric = asked.answer(
        "metric", given.metric or None, METRICS[choices.task], usual, check, "Metric that decides"
    )


def _require(table: Table, name: str, option: str) -> None:
    if name in table.names:
        return
    hint = did_you_mean(name, table.names)
    if name in map(str, table.sample.slice(0, 1).to_pylist()[0].values()):
        hint = " It is in the row after the header: if the header has several lines, delete all but the last."
    raise ConfigError(
        f"{table.shown} has no column {name!r} (--{option}).{hint} Columns it has: {', '.join(table.names)}."
    )
