"""get-data -> train-model -> evaluate-model -> [gate passed] register-model. Wiring only."""

from collections.abc import Callable
from typing import Any

from kfp import dsl

from mlops_lib.settings import Settings
from mlops_lib.steps.table import STEPS
from pipelines.components import evaluate_model, get_data, register_model, train_model

#: Sets what a task needs on a cluster, given whether it trains a model.
Finish = Callable[[dsl.PipelineTask, bool], Any]


def make(settings: Settings, finish: Finish = lambda task, trains: None) -> Any:
    """The pipeline object, the same for every runner.

    Args:
        settings: Resolved settings; ``pipeline.image`` is the image of the steps.
        finish: Sets what each task needs on a cluster.
    """
    trains = {step.name: step.trains for step in STEPS}

    def step(task: dsl.PipelineTask) -> dsl.PipelineTask:
        task.set_container_image(settings.pipeline.image)
        finish(task, trains[task.name])
        return task

    @dsl.pipeline(name="gate", description="Register the model when it passed the gate.")
    def gate(passed: bool, parent_run_id: str, run_id: str, model_name: str):
        """A nested pipeline, because kfp.local resolves a condition on a named output only as an input."""
        with dsl.If(passed == True, name="passed"):
            step(register_model(parent_run_id=parent_run_id, run_id=run_id, model_name=model_name))

    @dsl.pipeline(
        name="training",
        description="Train, evaluate and, when the gate passes, register a model.",
        pipeline_root=settings.cluster.pipeline_root or None,
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
        """One run of the notebooks.

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
        got = step(get_data(parent_run_id=parent_run_id, loader=loader, source=source, limit=limit))
        data, parent = got.outputs["data"], got.outputs["parent_run_id"]
        trained = step(train_model(data=data, parent_run_id=parent, max_epochs=max_epochs, seed=seed))
        run_id = trained.outputs["run_id"]
        evaluated = step(evaluate_model(data=data, parent_run_id=parent, run_id=run_id, threshold=threshold))
        gate(passed=evaluated.outputs["passed"], parent_run_id=parent, run_id=run_id, model_name=model_name)

    return training
