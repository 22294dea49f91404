"""Opening the model of a process: its files, its example, and the facts that the gateway needs."""

import faulthandler
import sys
from collections.abc import Callable
from typing import Any

from mlops_lib import wrappers
from mlops_lib.errors import MlopsError, ModelError
from mlops_lib.tracking.store import use_existing_store
from mlops_lib.wrappers.code.carried_code import expect_one_model
from mlops_lib.wrappers.interface import ModelWrapper
from mlops_lib.wrappers.pyfunc.requests import WholeRequest
from serving.inference.example import answer_example
from serving.inference.fields import cast_rows, casts_of
from serving.inference.matrix import MatrixModel
from serving.inference.source_fields import fields_of
from serving.isolation.messages import Load, Loaded

#: Part of the longest load after which the log gets the stacks of a load that still runs.
SLOW_LOAD = 0.9


class Model:
    """An open model, called with rows as they come over the wire.

    Attributes:
        wrapper: Its wrapper.
        name: Name and version, for errors.
        takes_matrix: Whether a row is a tuple in the order of the columns; else it is ``{column: value}`` without casts.
    """

    def __init__(self, wrapper: ModelWrapper, name: str) -> None:
        self.wrapper, self.name = wrapper, name
        fields = fields_of(wrapper.signature, wrapper.source_columns)
        self.takes_matrix = wrapper.takes_matrix and bool(fields)
        self._casts = casts_of(fields)
        self._matrix = MatrixModel(wrapper, [field.name for field in fields]) if self.takes_matrix else None

    def predict(self, rows: list[Any]) -> Any:
        """The model's predictions. Raises whatever the model raises, and BadValue for a value without a cast."""
        return self._matrix(rows) if self._matrix else self.wrapper.predict(self.cast(rows))

    def cast(self, rows: list[Any]) -> list[Any]:
        """Rows, also those in whole requests, with the values that the model's own DataFrame has."""
        if self._casts:
            cast_rows([row for row in rows if not isinstance(row, WholeRequest)], self._casts)
            for row in rows:
                if isinstance(row, WholeRequest):
                    cast_rows(row.rows, self._casts)
        return rows

    def keeps_state(self, rows: list[Any]) -> bool:
        """Whether the answer to any of the rows changes later answers."""
        return any(map(self.wrapper.keeps_state, rows))


def open_model(load: Load) -> Model:
    """Load the model's code and files into this process.

    Raises:
        MlopsError: It cannot be loaded.
    """
    settings = load.settings
    faulthandler.dump_traceback_later(
        SLOW_LOAD * settings.serving.load_timeout_s, file=sys.stderr.fileno()
    )  # until `loaded`
    expect_one_model()
    try:
        use_existing_store(settings)  # for the model's traces
        wrapper = wrappers.load(load.folder, settings.model.wrapper)
        wrapper.attach(settings)
        return Model(wrapper, load.model)
    except MlopsError:
        raise
    except BaseException as error:  # a model's code may raise anything, SystemExit too
        raise ModelError(f"{load.model} cannot be loaded: {type(error).__name__}: {error}") from error


def loaded(model: Model, predict: Callable[[Any], Any]) -> Loaded:
    """The facts about a model, which answers its example first.

    Args:
        predict: Predictions for the example.

    Raises:
        MlopsError: It does not answer.
    """
    wrapper = model.wrapper
    example = answer_example(wrapper, predict, model.name)
    faulthandler.cancel_dump_traceback_later()
    chats = type(wrapper).chat_row is not ModelWrapper.chat_row
    keeps_state = type(wrapper).keeps_state is not ModelWrapper.keeps_state
    return Loaded(wrapper.waits, model.takes_matrix, example, chats, keeps_state, wrapper.whole_requests)
