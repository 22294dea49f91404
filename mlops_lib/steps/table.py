"""The step table: one row a step, with every fact about it. Nothing else names a notebook.

A new step is a row here, a contract in `contracts`, a component in `pipelines.components`, and its place in
the wiring of a pipeline. A step that no setting names (see `mlops_lib.settings.readers`) reads every setting.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from mlops_lib.errors import ContractError
from mlops_lib.settings import Settings
from mlops_lib.settings.readers import markers
from mlops_lib.step_cache import dataset, mlflow_state
from mlops_lib.step_cache.entry import Entry
from mlops_lib.steps.contracts import (
    EARLIER_OUTPUTS,
    EvaluateOutputs,
    EvaluateParameters,
    GetDataOutputs,
    GetDataParameters,
    Outputs,
    Parameters,
    RegisterOutputs,
    RegisterParameters,
    TrainOutputs,
    TrainParameters,
)

#: What a step reads and writes, for OpenLineage: rows at ``data.source``, the prepared dataset,
#: a trained model, its evaluation, a registered version.
Dataset = Literal["source", "dataset", "model", "evaluation", "version"]
#: Returns a cached step's outputs as they are now. Raises
#: `mlops_lib.step_cache.entry.Stale` when they are gone.
Current = Callable[[Settings, Mapping[str, Any], Entry], dict[str, Any]]


@dataclass(frozen=True)
class Step:
    """The facts about one step.

    Args:
        notebook: File name of the notebook, without its suffix.
        name: Name of the Kubeflow task, which the display shows; with ``_`` for ``-``,
            of the component function.
        parameters: The contract's parameters.
        outputs: The contract's outputs.
        current: Checks that a cached result still exists.
        data: The data that the step reads: the loader's source, the prepared dataset, or none.
        trains: Whether the step trains a model; it then gets the GPUs of ``cluster.gpus``.
        only_if: An output of an earlier step that must be true; otherwise the step is skipped.
        lineage_inputs: Inputs in OpenLineage events.
        lineage_outputs: Outputs in OpenLineage events.
    """

    notebook: str
    name: str
    parameters: type[Parameters]
    outputs: type[Outputs]
    current: Current = mlflow_state.always_valid
    data: Literal["source", "prepared", ""] = ""
    trains: bool = False
    only_if: str = ""
    lineage_inputs: tuple[Dataset, ...] = ()
    lineage_outputs: tuple[Dataset, ...] = ()

    @property
    def arguments(self) -> list[str]:
        """The pipeline arguments that the step takes."""
        return [name for name in self.parameters.model_fields if name not in EARLIER_OUTPUTS]

    def given(self, values: Mapping[str, Any]) -> Parameters:
        """The step's parameters, taken from pipeline arguments and the outputs of earlier steps.

        Raises:
            pydantic.ValidationError: A value breaks the contract.
        """
        fields = self.parameters.model_fields
        return self.parameters.model_validate({name: values[name] for name in fields if name in values})

    def reads(self, setting: str) -> bool:
        """Whether the step reads a setting, given by its dotted key."""
        steps = self._markers[setting].steps
        return steps is None or self.name in steps or not self._is_named

    def runs_code_of(self, setting: str) -> bool:
        """Whether the step runs code, or reads files, that the value of a setting names."""
        code = self._markers[setting].code
        return self.name in code or bool(code and not self._is_named)

    @cached_property
    def _markers(self) -> Any:
        return markers(Settings)

    @cached_property
    def _is_named(self) -> bool:
        return any(self.name in (marker.steps or ()) for marker in self._markers.values())


#: In the order in which they run.
STEPS = (
    Step(
        "01_get_data", "get-data", GetDataParameters, GetDataOutputs,
        current=dataset.current, data="source", lineage_inputs=("source",), lineage_outputs=("dataset",),
    ),
    Step(
        "02_train", "train-model", TrainParameters, TrainOutputs,
        current=mlflow_state.trained_run, data="prepared", trains=True,
        lineage_inputs=("dataset",), lineage_outputs=("model",),
    ),
    Step(
        "03_evaluate", "evaluate-model", EvaluateParameters, EvaluateOutputs,
        current=mlflow_state.verdict, data="prepared",
        lineage_inputs=("dataset", "model"), lineage_outputs=("evaluation",),
    ),
    Step(
        "04_register", "register-model", RegisterParameters, RegisterOutputs,
        current=mlflow_state.version, only_if="passed",
        lineage_inputs=("model", "evaluation"), lineage_outputs=("version",),
    ),
)  # fmt: skip


def step_of(notebook: str) -> Step:
    """The step with this notebook.

    Raises:
        ContractError: There is none; lists the notebooks of the table.
    """
    for step in STEPS:
        if step.notebook == notebook:
            return step
    known = ", ".join(step.notebook for step in STEPS)
    raise ContractError(f"Notebook {notebook!r} has no contract. Available: {known}.")
