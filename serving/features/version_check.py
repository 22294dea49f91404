"""Checks that the feature store still has what a version was trained with."""

from collections.abc import Sequence

from mlops_lib.errors import ModelError
from mlops_lib.features import FEATURES_TAG, KEYS_TAG, ON_DEMAND_TAG, FeatureService
from mlops_lib.registry import ModelVersion
from mlops_lib.tracking import read_list_tag


def require_unchanged(version: ModelVersion, service: FeatureService, columns: Sequence[str]) -> None:
    """Raise ModelError when the feature service no longer has the keys and features
    of the version's training."""
    who = f"{version.name} version {version.version} was trained with"
    advice = "Train again, or restore the service."
    trained = read_list_tag(version.tags.get(KEYS_TAG, ""))
    if set(trained) != set(service.entity_keys):
        raise ModelError(
            f"{who} entity keys {', '.join(trained)}; feature service {service.name!r} now has "
            f"{', '.join(service.entity_keys)}. {advice}"
        )
    looked_up = read_list_tag(version.tags.get(FEATURES_TAG, ""))
    if gone := [column for column in columns if column in looked_up and column not in service.dtypes]:
        raise ModelError(
            f"{who} {', '.join(gone)} of feature service {service.name!r}, which it no longer has. {advice}"
        )
    code = dict(item.rpartition("=")[::2] for item in read_list_tag(version.tags.get(ON_DEMAND_TAG, "")))
    changed = [
        name
        for name in columns
        if name in code and code[name] != getattr(service.on_demand.get(name), "code", "")
    ]
    if changed:
        raise ModelError(
            f"{who} another function of {', '.join(changed)}: its on-demand feature view in {service.name!r} has "
            f"changed since. {advice}"
        )
