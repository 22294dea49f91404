"""A Feast repository: its definitions, progress of writes, and errors without secrets."""

import contextlib
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.errors import FeatureStoreError
from mlops_lib.redact import mask

if TYPE_CHECKING:
    from feast import FeatureStore

#: Rows of one write to the online store, unless feature_store.yaml sets a number.
WRITE_ROWS = 10_000


def definitions(repo: Path) -> Iterator[Any]:
    """Each object that the Python files of a repository define, once."""
    seen: set[int] = set()
    for number, file in enumerate(sorted(repo.glob("*.py"))):
        spec = importlib.util.spec_from_file_location(f"_feature_repo_{abs(hash(repo))}_{number}", file)
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for value in vars(module).values():
            if id(value) not in seen:
                seen.add(id(value))
                yield value


@contextlib.contextmanager
def rows_shown(store: "FeatureStore") -> Iterator[None]:
    """Count the rows written to the online store on stderr; the progress bar of Feast 0.67 never moves."""
    from tqdm.auto import tqdm

    writing = store.config.materialization_config
    # Without it Feast writes all rows of a view at once, and holds them in memory.
    writing.online_write_batch_size = writing.online_write_batch_size or WRITE_ROWS
    online = store.provider.online_store
    write = online.online_write_batch
    with tqdm(desc="online store", unit=" rows", mininterval=1.0, file=sys.stderr) as line:

        def counted(config: Any, table: Any, data: Any, progress: Any) -> None:
            line.set_description_str(table.name, refresh=False)
            write(config, table, data, progress)
            line.update(len(data))

        vars(online)["online_write_batch"] = counted
        try:
            yield
        finally:
            del vars(online)["online_write_batch"]


@contextlib.contextmanager
def feast_errors(doing: str) -> Iterator[None]:
    """Raise whatever Feast raises as a FeatureStoreError; `doing` completes "The feature store could not ..."."""
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
