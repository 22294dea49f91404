"""Settings that only networks have."""

from mlops_lib.errors import ConfigError
from mlops_lib.settings import Settings
from mlops_lib.settings.model import ModelSettings
from mlops_lib.settings.train import TrainSettings

MODEL = ("inputs", "collate", "format")
TRAIN = ("trainer", "callbacks", "datamodule", "dataset", "profiler", "find_lr", "warm_start", "compile")


def settings_of_networks(config: Settings) -> list[str]:
    """Those that are set to something else than their default."""
    model, train = ModelSettings(), TrainSettings()
    return [
        *(f"model.{name}" for name in MODEL if getattr(config.model, name) != getattr(model, name)),
        *(f"train.{name}" for name in TRAIN if getattr(config.train, name) != getattr(train, name)),
    ]


def refuse(config: Settings) -> None:
    """Raise ConfigError for a setting of networks beside a wrapper that fits none, which would ignore it."""
    if named := settings_of_networks(config):
        raise ConfigError(
            f"config.yaml sets {', '.join(named)}, and only networks read {'it' if len(named) == 1 else 'them'}: model.wrapper is "
            f"{config.model.wrapper!r}. Take {'it' if len(named) == 1 else 'them'} out, or set model.wrapper: lightning."
        )
