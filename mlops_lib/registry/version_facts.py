"""Facts on a version's tags: the version that it replaced, and its score at registration."""

from mlops_lib.registry.versions import ModelVersion, Versions
from mlops_lib.settings import Settings

#: On a version at a stage, with the stage appended: the version that held the stage before.
REPLACED_TAG = "mlops.replaced"
#: On a run and on its version: the gate's metric. On a version: the score at registration.
METRIC_TAG, SCORE_TAG = "mlops.metric", "mlops.score"


def replaced(version: ModelVersion) -> int:
    """The version that held the stage of `version` before; 0 for none."""
    return int(version.tags.get(replaced_tag(version.stage), 0))


def replaced_tag(stage: str) -> str:
    """The tag that names the version replaced at `stage`."""
    return f"{REPLACED_TAG}.{stage.lower()}"


def scores(settings: Settings, like: ModelVersion) -> dict[int, float]:
    """Version -> score at registration, of all versions of the model with the configured metric."""
    metric = settings.evaluation.metric
    return {
        version.version: float(version.tags[SCORE_TAG])
        for version in Versions(settings).versions(like.name)
        if version.tags.get(METRIC_TAG) == metric
    }
