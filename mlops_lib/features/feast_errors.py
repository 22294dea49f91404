"""Errors of Feast as errors of the platform, without secrets."""

import contextlib
from collections.abc import Iterator

from mlops_lib.errors import FeatureStoreError
from mlops_lib.redact import mask


@contextlib.contextmanager
def feast_errors(doing: str) -> Iterator[None]:
    """Raise whatever Feast raises as a FeatureStoreError; `doing` completes "The
    feature store could not ..."."""
    try:
        yield
    except FeatureStoreError:
        raise
    except Exception as error:  # Feast passes on the errors of each store's driver
        # Without its cause: a notebook would print it with its secrets.
        raise FeatureStoreError(f"The feature store could not {doing}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    """The text of an error without the store's settings, which pydantic repeats with their passwords."""
    from pydantic import ValidationError

    settings = getattr(error, "_error_message", error)  # Feast's error holds pydantic's
    if isinstance(settings, ValidationError):
        problems = settings.errors(include_input=False, include_url=False, include_context=False)
        text = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in problems)
        return f"feature_store.yaml is wrong. {text}"
    return mask(f"{type(error).__name__}: {error}")
