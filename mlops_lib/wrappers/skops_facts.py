"""The types that skops would store of an estimator, and their modules."""

import io
import json
import sys
import zipfile
from typing import Any, NamedTuple

from mlops_lib.errors import TrainingError
from mlops_lib.imports import SKOPS_EXTRAS, without
from mlops_lib.wrappers.code.own_code import own_place


class SkopsFacts(NamedTuple):
    """Facts about a stored estimator.

    Attributes:
        untrusted: Types that skops must be told to trust. They are trusted because
            config.yaml names the estimator.
        modules: Modules of all classes and functions in it.
    """

    untrusted: list[str]
    modules: set[str]


def skops_facts(estimator: Any, name: str) -> SkopsFacts:
    """Facts about an estimator, fitted or not.

    Args:
        estimator: Of scikit-learn or with its interface.
        name: `model.implementation`, for errors.

    Raises:
        TrainingError: skops cannot store it, or could not find one of the user's own
            classes or functions again.
    """
    with without(SKOPS_EXTRAS):
        import skops.io

    try:
        data = skops.io.dumps(estimator)
    except (TypeError, ValueError, AttributeError) as error:
        raise TrainingError(f"{name} cannot be stored by skops: {error}") from error
    objects: set[tuple[str, str]] = set()

    def note(node: dict[str, Any]) -> dict[str, Any]:
        if isinstance(module := node.get("__module__"), str):
            objects.add((module, str(node.get("__class__"))))
        return node

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        json.loads(archive.read("schema.json"), object_hook=note)
    for module, item in sorted(objects):
        if own_place(module.partition(".")[0]) and not hasattr(sys.modules.get(module), item):
            raise TrainingError(
                f"{name} uses {item!r} of {module}, which is defined inside a function or class, or has no name. A loaded model "
                f"could not find it: define it at the top level of {module}."
            )
    return SkopsFacts(skops.io.get_untrusted_types(data=data), {module for module, _ in objects})
