"""A hyper-parameter search on Kubeflow: each trial is a task, and the trials of a round run at the same time.

get-data -> begin-search -> [propose -> trial, trial, ... -> end-round] ... -> finish-search. The values of a
round are proposed from the scores of all earlier rounds, which are in MLflow.

No ``from __future__ import annotations`` here: it breaks KFP, which reads the annotations.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from kfp import dsl

from mlops_lib.settings import Settings
from pipelines.components import IMAGE, get_data
from pipelines.kubeflow import ClusterRun, compile_pipeline, run_on_cluster

NAME = "search"


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def begin_search(data: dsl.Input[dsl.Dataset], parent_run_id: str) -> str:
    from mlops_lib import config, loaders, search

    settings = config.load()
    return search.begin(settings, loaders.prepared(settings, data.path), parent=parent_run_id)


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def propose(search_run_id: str, count: int, seed: int) -> list:
    import json

    from mlops_lib import config, search

    settings = config.load(overrides={"search.seed": seed})
    done = search.trials(settings, search_run_id)
    return [json.dumps(values) for values in search.suggest(settings, done, count)]


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def trial(data: dsl.Input[dsl.Dataset], search_run_id: str, values: str) -> str:
    import json

    from mlops_lib import config, loaders, search

    settings = config.load()
    dataset = loaders.prepared(settings, data.path)
    return search.attempt(settings, dataset, search_run_id, json.loads(values)).run_id


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def end_round(search_run_id: str, trial_run_ids: list) -> str:
    return search_run_id


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def finish_search(search_run_id: str) -> str:
    from mlops_lib import config, search, tracking

    settings = config.load()
    with tracking.ended(tracking.connect(settings), search_run_id):
        return search.finish(settings, search_run_id).run_id


def make(settings: Settings, finish: Callable[[Any, bool], Any] = lambda task, trains: None) -> Any:
    """The pipeline object of a search.

    Args:
        settings: The `search` section and the image of the steps are read.
        finish: Gives each task its cluster options; a trial gets the same as training.
    """

    def step(task: dsl.PipelineTask, trains: bool = False) -> dsl.PipelineTask:
        task.set_container_image(settings.pipeline.image)
        finish(task, trains)
        return task

    chosen = settings.search
    counts = [
        min(chosen.parallel, chosen.trials - begun) for begun in range(0, chosen.trials, chosen.parallel)
    ]

    @dsl.pipeline(
        name="round",
        description="Trials that run at the same time, with values proposed from earlier scores.",
    )
    def one_round(data: dsl.Input[dsl.Dataset], search_run_id: str, count: int) -> str:
        proposed = step(propose(search_run_id=search_run_id, count=count, seed=chosen.seed))
        with dsl.ParallelFor(proposed.output, parallelism=chosen.parallel) as values:
            tried = step(trial(data=data, search_run_id=search_run_id, values=values), trains=True)
        return step(end_round(search_run_id=search_run_id, trial_run_ids=dsl.Collected(tried.output))).output

    @dsl.pipeline(
        name=NAME,
        description=f"{chosen.trials} trials of hyper-parameters in {len(counts)} rounds.",
        pipeline_root=settings.cluster.pipeline_root or None,
    )
    def search(loader: str = "", source: str = "", limit: int = 0) -> str:
        got = step(get_data(loader=loader, source=source, limit=limit))
        data = got.outputs["data"]
        run_id = step(begin_search(data=data, parent_run_id=got.outputs["parent_run_id"])).output
        for count in counts:
            run_id = one_round(data=data, search_run_id=run_id, count=count).output
        return step(finish_search(search_run_id=run_id)).output

    return search


def compile_search(settings: Settings, output: Path) -> None:
    """Write the search, with the options of the `cluster` section, as YAML."""
    compile_pipeline(settings, output, maker=make)


def search_on_cluster(
    settings: Settings, host: str, token: str, on_change: Callable[[str, str], None], **more: Any
) -> ClusterRun:
    """Upload the search, run it, and wait for its end; see `pipelines.kubeflow.run_on_cluster`."""
    return run_on_cluster(settings, {}, host, token=token, on_change=on_change, maker=make, name=NAME, **more)
