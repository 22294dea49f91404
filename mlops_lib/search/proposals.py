"""The next values to try, proposed by Optuna from the scores so far."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import PluginError
from mlops_lib.search.space import bounds
from mlops_lib.search.trial import Trial
from mlops_lib.settings import Dimension, Settings

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def suggest(settings: Settings, done: Sequence[Trial], count: int) -> list[dict[str, Any]]:
    """The next `count` sets of values.

    The same seed and trials give the same values, also in a search that was resumed.
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
    proposed = [study.ask(space).params for _ in range(count)]
    return [
        {name: json.loads(v) if name in categorical else v for name, v in values.items()}
        for values in proposed
    ]


def _distribution(dimension: Dimension) -> "BaseDistribution":
    from optuna import distributions

    if dimension.type == "categorical":
        # Optuna takes scalars only; a choice may be a list, such as the widths of layers.
        return distributions.CategoricalDistribution([json.dumps(choice) for choice in dimension.choices])
    low, high = bounds(dimension)
    kind = distributions.IntDistribution if dimension.type == "int" else distributions.FloatDistribution
    return kind(low, high, log=dimension.log)
