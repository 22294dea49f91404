"""The platform's exceptions. Every one says what happened, with which value, and what to do about it."""


class MlopsError(Exception):
    """Base of everything the platform raises on purpose; catch this one at the outermost layer."""


class ConfigError(MlopsError):
    """A setting is unknown, missing or of the wrong kind."""


class PluginError(MlopsError):
    """A loader, wrapper, network or task was named that is not there or cannot be imported."""


class DataError(MlopsError):
    """Data is missing, or breaks a promise (columns, types, labels, row counts)."""


class FeatureStoreError(MlopsError):
    """The feature store has no such service or feature, cannot be reached, or answered something else."""


class ContractError(MlopsError):
    """A notebook was given parameters, or left outputs, that its contract does not allow."""


class NotebookError(MlopsError):
    """A notebook raised while it ran; the message says in which cell and where its record is."""


class TrainingError(MlopsError):
    """A model could not be trained or logged."""


class EvaluationError(MlopsError):
    """Predictions and labels could not be scored."""


class RegistryError(MlopsError):
    """The model registry has no such model, version or stage, or cannot be reached."""


class NoSuchVersionError(RegistryError):
    """The registry answered: it has no version at that stage or alias, or of that number."""


class ModelError(MlopsError):
    """A logged model could not be loaded, or could not answer."""


class InputError(ModelError):
    """The rows handed to a model do not fit its signature; the message names row and field."""
