"""Hyper-parameter search: MLflow keeps the trials, and Optuna proposes the next values from them.

A search is one parent run. A trial is a run below it, with the values it tried and its score, and below that
is the run of its training, with the model. Nothing else is kept, so that a search goes on wherever it is
resumed, and trials may run on machines that share nothing but MLflow.
"""

import json
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from mlops_lib import tracking, wrappers
from mlops_lib.errors import ConfigError, MlopsError, PluginError
from mlops_lib.evaluation import gate
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.redact import masked
from mlops_lib.settings import Dimension, Settings
from mlops_lib.wrappers.interface import FINGERPRINT_TAG

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient
    from optuna.distributions import BaseDistribution

#: On the parent: what is searched. On a trial: what it tried, and which way its metric points.
SPACE_TAG, VALUES_TAG = "mlops.search.space", "mlops.search.values"
HIGHER_TAG, ERROR_TAG = "mlops.search.higher_is_better", "mlops.search.error"
BEST_TAG = "mlops.search.best_run"
TRIAL = "trial"
#: So many trials in a row that fail, with none before them that did not, and the search is not worth going on.
HOPELESS = 3


@dataclass(frozen=True)
class Trial:
    """One set of values that was tried. `score` is None when it failed, and `error` says why."""

    run_id: str
    values: dict[str, Any]
    score: float | None
    higher_is_better: bool
    error: str = ""


OnTrial = Callable[[Trial, list[Trial]], None]


def begin(settings: Settings, dataset: BaseDataLoader, resume: str = "", parent: str = "") -> str:
    """Id of the parent run of a search, set to RUNNING.

    Args:
        settings: Resolved settings.
        dataset: What the trials learn from.
        resume: A search to continue; empty: a new one.
        parent: The run that a new search takes for its parent; empty: a new run.

    Raises:
        MlopsError: The space is empty or a value in it is impossible; or `resume` is no search over the same space
            and data.
    """
    _check_space(settings)
    space = {name: dimension.model_dump(mode="json") for name, dimension in settings.search.space.items()}
    # What is searched held still: pasting the best values into config.yaml makes no other search of it.
    fixed = with_values(settings, {name: _first(d) for name, d in settings.search.space.items()})
    same = {
        "space": space,
        "metric": settings.evaluation.metric,
        "model": fixed.model.model_dump(mode="json", exclude={"name"}),
        "train": fixed.train.model_dump(mode="json"),
    }
    tags = {
        SPACE_TAG: json.dumps(same, sort_keys=True),
        FINGERPRINT_TAG: dataset.fingerprint(),
    }
    client = tracking.connect(settings)
    if resume:
        _check_same(client, resume, tags)
        client.update_run(resume, status="RUNNING")
        return resume
    parent = parent or tracking.open_parent(settings)
    client.update_run(parent, status="RUNNING", name="search")
    for key, value in tags.items():
        client.set_tag(parent, key, value)
    return parent


def _check_space(settings: Settings) -> None:
    if not settings.search.space:
        raise ConfigError(
            "There is nothing to search: search.space of config.yaml is empty. For example: "
            "search: {space: {model.params.learning_rate: {type: float, low: 0.0001, high: 0.1, log: true}}}"
        )
    for name, dimension in settings.search.space.items():
        for value in dimension.choices or _ends(dimension):
            with_values(settings, {name: value})


def _check_same(client: "MlflowClient", run_id: str, tags: dict[str, str]) -> None:
    """Raise unless a run is a search with these tags: scores of other data or metrics would not compare."""
    from mlflow.exceptions import MlflowException

    try:
        before = client.get_run(run_id).data.tags
    except MlflowException as error:
        raise MlopsError(f"Search {run_id} cannot be resumed: {error.message}") from None
    if SPACE_TAG not in before:
        raise MlopsError(f"Run {run_id} is no search, so it cannot be resumed as one.")
    for tag, what in (
        (SPACE_TAG, "search.space, evaluation.metric, model or train"),
        (FINGERPRINT_TAG, "the dataset"),
    ):
        if before.get(tag) != tags[tag]:
            raise MlopsError(
                f"Search {run_id} cannot be resumed: {what} is not what it was, so its scores would not compare. "
                "Start a new one with: mlops search"
            )


def run(
    settings: Settings, dataset: BaseDataLoader, parent: str, on_trial: OnTrial = lambda trial, history: None
) -> Trial:
    """Try values one set after another until there are ``search.trials``; gives the best trial.

    Args:
        settings: Resolved settings.
        dataset: Rows with a label.
        parent: Run that `begin` gave.
        on_trial: Called after each trial, with all that there are.

    Raises:
        MlopsError: The first trials all failed; says why the last one did.
    """
    log = settings.path(settings.pipeline.work_dir) / "searches" / f"{parent}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with tracking.ended(tracking.connect(settings), parent), log.open("a", encoding="utf-8") as file:
        done = trials(settings, parent)
        while len(done) < settings.search.trials:
            (values,) = suggest(settings, done, 1)
            with redirect_stdout(file):
                trial = attempt(settings, dataset, parent, values)
            done.append(trial)
            on_trial(trial, done)
            if len(done) >= HOPELESS and best(done) is None:
                break
        return finish(settings, parent)


def suggest(settings: Settings, done: Sequence[Trial], count: int) -> list[dict[str, Any]]:
    """The next `count` sets of values, from what the trials so far have scored.

    The same seed and history give the same values, whether a search was resumed in between or not.
    """
    try:
        import optuna
    except ImportError:
        raise PluginError("A search needs Optuna. Install it with: pip install 'mlops-lib[search]'") from None

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    higher = all(trial.higher_is_better for trial in done)
    sampler = optuna.samplers.TPESampler(seed=(settings.search.seed * 1_000_003 + len(done)) % 2**32)
    study = optuna.create_study(direction="maximize" if higher else "minimize", sampler=sampler)
    space = {name: _distribution(dimension) for name, dimension in settings.search.space.items()}
    categorical = {name for name, dimension in settings.search.space.items() if dimension.choices}
    for trial in done:
        values = {name: json.dumps(v) if name in categorical else v for name, v in trial.values.items()}
        state = optuna.trial.TrialState.FAIL if trial.score is None else optuna.trial.TrialState.COMPLETE
        study.add_trial(
            optuna.create_trial(params=values, distributions=space, value=trial.score, state=state)
        )
    asked = [study.ask(space).params for _ in range(count)]
    return [
        {name: json.loads(v) if name in categorical else v for name, v in values.items()} for values in asked
    ]


def attempt(settings: Settings, dataset: BaseDataLoader, parent: str, values: dict[str, Any]) -> Trial:
    """Train with `values`, and score on the validation split: the test split is for the model that is chosen.

    A trial that fails is a failed run and has no score; it ends no search.
    """
    client = tracking.connect(settings)
    chosen = settings.evaluation.model_copy(update={"baselines": ()})
    trial_settings = settings.model_copy(update={"evaluation": chosen})
    score, higher, run_id, why = None, True, "", ""
    try:
        with tracking.child_run(trial_settings, TRIAL, parent, {VALUES_TAG: json.dumps(values)}) as trial_run:
            run_id = trial_run.info.run_id
            for name, value in values.items():
                client.log_param(run_id, name, value)
            trial_settings = with_values(trial_settings, values)
            model = wrappers.from_settings(trial_settings)
            model.train(dataset, trial_settings, run_id)
            # Whoever asks for the latest trained model does not mean one that was tried out.
            client.set_tag(model.run_id, tracking.STEP_TAG, f"{TRIAL}-train")
            report = model.judge(dataset, trial_settings, "validation")
            verdict = gate.decide(report, chosen.metric, chosen.threshold, chosen.min_coverage)
            covered = report.metrics[chosen.metric].coverage >= chosen.min_coverage
            if verdict.score is None or not covered:
                raise MlopsError(" ".join(verdict.reasons))
            client.set_tag(run_id, HIGHER_TAG, verdict.higher_is_better)
            client.log_metric(run_id, f"validation.{chosen.metric}", verdict.score)
            score, higher = verdict.score, verdict.higher_is_better
    except Exception as error:  # a model of the user's own may raise anything
        if not run_id:
            raise
        why = masked(str(error) if isinstance(error, MlopsError) else f"{type(error).__name__}: {error}")[
            :2000
        ]
        client.set_tag(run_id, ERROR_TAG, why)
    return Trial(run_id, values, score, higher, why)


def trials(settings: Settings, parent: str) -> list[Trial]:
    """The trials of a search that have ended, in the order in which they began; those cut off do not count."""
    client = tracking.connect(settings)
    experiment = client.get_run(parent).info.experiment_id
    mine = f"tags.`{tracking.PARENT_TAG}` = '{parent}' and tags.`{tracking.STEP_TAG}` = '{TRIAL}'"
    found = client.search_runs([experiment], mine, order_by=["attributes.start_time ASC"], max_results=10_000)
    name = f"validation.{settings.evaluation.metric}"
    return [
        Trial(
            run.info.run_id,
            json.loads(run.data.tags[VALUES_TAG]),
            run.data.metrics[name] if run.info.status == "FINISHED" else None,
            run.data.tags.get(HIGHER_TAG, "True") == "True",
            run.data.tags.get(ERROR_TAG, ""),
        )
        for run in found
        if run.info.status in ("FINISHED", "FAILED")
    ]


def best(done: Sequence[Trial]) -> Trial | None:
    """The trial with the best score; None while there is none."""
    scored = [trial for trial in done if trial.score is not None]
    return max(scored, key=lambda t: t.score if t.higher_is_better else -t.score, default=None)  # type: ignore


def finish(settings: Settings, parent: str) -> Trial:
    """Leave the figure, the best values and their score on the parent run; gives the best trial.

    Raises:
        MlopsError: No trial has a score.
    """
    from mlops_lib.evaluation.figures import search

    client = tracking.connect(settings)
    done = trials(settings, parent)
    chosen = best(done)
    if chosen is None:
        raise MlopsError(f"All {len(done)} trials failed. The last one: {done[-1].error if done else 'none'}")
    assert chosen.score is not None  # best chooses among those that have one
    log = [name for name, dimension in settings.search.space.items() if dimension.log]
    figure = search.trials(
        [trial.score for trial in done], [trial.values for trial in done],
        settings.evaluation.metric, chosen.higher_is_better, log,
    )  # fmt: skip
    client.log_figure(parent, figure, "search/trials.png")
    client.log_text(parent, as_config(settings, chosen.values), "search/best.yaml")
    client.log_metric(parent, f"best.validation.{settings.evaluation.metric}", chosen.score)
    client.set_tag(parent, BEST_TAG, chosen.run_id)
    return chosen


def as_config(settings: Settings, values: dict[str, Any]) -> str:
    """Values as the lines of config.yaml that use them."""
    content: dict[str, Any] = {}
    if any(name.startswith("model.params.") for name in values):
        content["model"] = {"params": with_values(settings, values).model.params}
    train = {n.removeprefix("train."): v for n, v in values.items() if n.startswith("train.")}
    return yaml.safe_dump({**content, **({"train": train} if train else {})}, sort_keys=False)


def with_values(settings: Settings, values: dict[str, Any]) -> Settings:
    """The settings with some of them replaced.

    Args:
        settings: Resolved settings.
        values: ``train.x`` or ``model.params.x`` -> value.

    Raises:
        ConfigError: A value is none that the setting may have.
    """
    content = settings.model_dump()
    for key, value in values.items():
        *sections, name = key.split(".")
        group = content
        for section in sections:
            group = group[section]
        group[name] = value
    try:
        return Settings.model_validate(content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise ConfigError(f"search.space would try {values}: {problem['msg']}.") from None


def _first(dimension: Dimension) -> Any:
    return dimension.choices[0] if dimension.choices else _ends(dimension)[0]


def _ends(dimension: Dimension) -> list[Any]:
    kind = int if dimension.type == "int" else float
    return [kind(end) for end in (dimension.low, dimension.high) if end is not None]


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna import distributions

    if dimension.type == "categorical":
        # Optuna takes scalars; a choice may be a list, such as the widths of layers.
        return distributions.CategoricalDistribution([json.dumps(choice) for choice in dimension.choices])
    low, high = _ends(dimension)
    kind = distributions.IntDistribution if dimension.type == "int" else distributions.FloatDistribution
    return kind(low, high, log=dimension.log)
