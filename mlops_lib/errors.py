"""The platform's exceptions. A message has what happened, the value, and what to do."""

from collections.abc import Sequence


class MlopsError(Exception):
    """Base of all errors that the platform raises on purpose; the outermost layer catches it."""


class ConfigError(MlopsError):
    """A setting is unknown, missing or of the wrong kind."""


class PluginError(MlopsError):
    """A named implementation (loader, wrapper, metric, ...) does not exist or cannot be imported."""


class DataError(MlopsError):
    """Data is missing, or its columns, types, labels or row counts are wrong."""


class FeatureStoreError(MlopsError):
    """The feature store has no such service or feature, cannot be reached, or answered unexpectedly."""


class ContractError(MlopsError):
    """A notebook's parameters or outputs do not satisfy its contract."""


class NotebookError(MlopsError):
    """A notebook failed; the message names the cell and the record of the run."""


class TrainingError(MlopsError):
    """A model could not be trained or logged."""


class GpuStoppedError(TrainingError):
    """A GPU refused a value, and this process can no longer use it."""


class EvaluationError(MlopsError):
    """Predictions and labels could not be scored."""


class ConversationError(EvaluationError):
    """Rows have several turns, and the model takes one message alone."""


class RegistryError(MlopsError):
    """The model registry has no such model, version or stage, or cannot be reached."""


class NoSuchVersionError(RegistryError):
    """The registry has no version with that stage, alias or number."""


class ModelError(MlopsError):
    """A logged model could not be loaded, or its prediction failed."""


class InputError(ModelError):
    """The rows do not fit the model's signature; the message names row and field."""


class UnansweredError(InputError):
    """A graph stopped to ask, and the row names no conversation in which the answer could come.

    Args:
        questions: Their texts.
    """

    def __init__(self, message: str, questions: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.questions = questions


class ThreadError(InputError):
    """A conversation cannot go on as a row asks.

    Args:
        code: Stable name for programs: ``unknown_thread``, ``nothing_open``, ``unknown_interrupt``,
            ``several_interrupts`` or ``invalid_resume``.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ReproductionError(MlopsError):
    """A version cannot be made again: its lineage, its code,
    its data or its environment is missing or changed."""
