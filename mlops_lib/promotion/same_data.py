"""The rows that a model was judged on, opened again so that another champion is asked on the same ones."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mlops_lib import loaders
from mlops_lib.data_checks import declared
from mlops_lib.errors import DataError, EvaluationError
from mlops_lib.loaders.base import BaseDataLoader
from mlops_lib.loaders.origin import ORIGIN_FILE, read_origin
from mlops_lib.settings import Settings


@contextmanager
def same_data(settings: Settings, fingerprint: str, say: Callable[[str], None]) -> Iterator[BaseDataLoader]:
    """The prepared dataset if it is the one with the fingerprint,
    else the source prepared again in a scratch folder.

    Raises:
        EvaluationError: Neither has the fingerprint: the data changed since.
        DataError: The source cannot be read.
    """
    folder = loaders.prepared_folder(settings)
    try:
        dataset = loaders.prepared(settings, folder)
        found = dataset.fingerprint()
    except (DataError, OSError):
        found = ""  # not prepared here
    if found == fingerprint:
        yield dataset
        return
    say("preparing the data again, since the prepared rows are not those of the evaluation")
    with tempfile.TemporaryDirectory(prefix="mlops-promotion-") as scratch:
        again = Path(scratch) / folder.name  # the name is part of the fingerprint
        limit = read_origin(folder / ORIGIN_FILE)["limit"] if (folder / ORIGIN_FILE).is_file() else 0
        declared.write(settings, loaders.from_settings(settings), again, limit)
        dataset = loaders.prepared(settings, again)
        if (found := dataset.fingerprint()) != fingerprint:
            raise EvaluationError(
                f"The data changed since the evaluation: its fingerprint was {fingerprint[:12]}, and "
                f"{settings.data.source} gives {found[:12]} now, so the champion cannot be asked on the same rows. "
                f"Run the pipeline on the present data: {settings.command('run')}"
            )
        yield dataset
