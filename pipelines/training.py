"""get-data -> train-model -> evaluate-model -> [gate passed] register-model. Wiring only."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from mlops_lib.settings import Settings
from pipelines.components import evaluate_model, get_data, register_model, train_model

#: Does something to a task of the pipeline, given the name of its notebook.
Finish = Callable[[dsl.PipelineTask, str], Any]


def make(settings: Settings | None = None, finish: Finish = lambda task, notebook: None) -> Any:
    """The pipeline object; every runner takes the same.

    Args:
        settings: Where the image of the steps is named; None: the default one.
        finish: Gives each task what it needs on a cluster.
    """

    def step(task: dsl.PipelineTask, notebook: str) -> dsl.PipelineTask:
        if settings:
            task.set_container_image(settings.pipeline.image)
        finish(task, notebook)
        return task

    @dsl.pipeline(name="gate", description="Register the model when evaluation let it pass.")
    def gate(passed: bool, parent_run_id: str, run_id: str, model_name: str):
        """A pipeline of its own, because kfp.local resolves a condition on a named output only as an input."""
        with dsl.If(passed == True, name="passed"):
            step(
                register_model(parent_run_id=parent_run_id, run_id=run_id, model_name=model_name),
                "04_register",
            )

    @dsl.pipeline(
        name="training",
        description="Train, evaluate and, when the gate passes, register a model.",
        pipeline_root=(settings and settings.cluster.pipeline_root) or None,
    )
    def training(
        parent_run_id: str = "",
        loader: str = "",
        source: str = "",
        limit: int = 0,
        max_epochs: int = 0,
        seed: int = -1,
        threshold: float = -1.0,
        model_name: str = "",
    ):
        """One run of the four notebooks.

        Args:
            parent_run_id: MLflow run to log to; empty: the one that Kubeflow injects, else a new one.
            loader: Loader name; empty: data.loader of config.yaml.
            source: File, folder or URI; empty: data.source.
            limit: Rows to keep of each split; 0 means all.
            max_epochs: Most passes over the data; 0: train.max_epochs.
            seed: Seed of weights and shuffling; -1: train.seed.
            threshold: Score to reach; -1: evaluation.threshold.
            model_name: Name in the registry; empty: model.name.
        """
        got = step(
            get_data(parent_run_id=parent_run_id, loader=loader, source=source, limit=limit), "01_get_data"
        )
        data, parent = got.outputs["data"], got.outputs["parent_run_id"]
        trained = step(
            train_model(data=data, parent_run_id=parent, max_epochs=max_epochs, seed=seed), "02_train"
        )
        run_id = trained.outputs["run_id"]
        evaluated = step(
            evaluate_model(data=data, parent_run_id=parent, run_id=run_id, threshold=threshold), "03_evaluate"
        )
        gate(passed=evaluated.outputs["passed"], parent_run_id=parent, run_id=run_id, model_name=model_name)

    return training


training = make()
