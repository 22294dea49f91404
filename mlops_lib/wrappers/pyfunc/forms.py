"""The forms of input that MLflow knows, read from the MLmodel file alone."""

from typing import TYPE_CHECKING, Any, Literal

from mlops_lib.errors import InputError
from mlops_lib.wording import listed

if TYPE_CHECKING:
    from mlflow.models import Model
    from mlflow.types import Schema

#: The input of a model's `predict`: a DataFrame; one request (a dict) at a time; a list of items; an array;
#: a dict of arrays; or whatever was sent, for a model without a signature.
Form = Literal["frame", "request", "items", "tensor", "tensors", "any"]
#: Loader of a conversational model (ChatModel, ChatAgent, ResponsesAgent) -> the column of its messages.
CONVERSATIONS = {
    "mlflow.pyfunc.loaders.chat_model": "messages",
    "mlflow.pyfunc.loaders.chat_agent": "messages",
    "mlflow.pyfunc.loaders.responses_agent": "input",
}


def messages_column(info: "Model") -> str:
    """The column with a conversation's messages; "" for a model of another kind."""
    return CONVERSATIONS.get(info.flavors.get("python_function", {}).get("loader_module", ""), "")


def form_of(info: "Model") -> Form:
    """The form of input that a logged model takes."""
    inputs = info.signature.inputs if info.signature else None
    if messages_column(info):
        return "request"
    if not inputs:
        return "any"
    if info._is_signature_from_type_hint():
        return "items"
    if inputs.is_tensor_spec():
        return "tensor" if len(inputs.inputs) == 1 else "tensors"
    return "frame"


def rows_of(value: Any, inputs: "Schema | None", scalars: bool = False) -> list[Any]:
    """The rows of a value in MLflow's format ``inputs``, or of an input example.

    A dict holds columns if its values are one level deeper than the signature says; else it is one row.
    A list holds rows, or the values of a signature's only column. Any other value is a row.

    Args:
        scalars: Whether a column of any type holds single values, as those of the platform's own models do.

    Raises:
        InputError: Columns have different lengths.
    """
    if inputs and inputs.is_tensor_spec() and len(inputs.inputs) == 1:
        return _rows_of_tensor(value, inputs.inputs[0].name)
    types = _types(inputs)
    if scalars:
        types = {name: levels or 0 for name, levels in types.items()}
    if isinstance(value, dict):
        return _rows_of_dict(value, types) if types or not inputs else [value]
    if not isinstance(value, list):
        value = [value]
    if len(types) == 1 and not any(isinstance(item, dict) for item in value):
        ((name, levels),) = types.items()
        if not any(_levels(item) > (levels or 0) for item in value):
            return [{name: item} for item in value]
    return value


def _rows_of_tensor(value: Any, name: Any) -> list[Any]:
    """The items of the only tensor, which a body may name."""
    if isinstance(value, dict) and value.keys() == {name}:
        value = value[name]
    rows = value if isinstance(value, list) else [value]
    return [row[name] if isinstance(row, dict) and row.keys() == {name} else row for row in rows]


def _rows_of_dict(values: dict[str, Any], types: dict[str, int | None]) -> list[Any]:
    if known := values.keys() & types.keys():
        levels = {name: types[name] for name in known}
        in_columns = any(_levels(values[name]) > at for name, at in levels.items() if at is not None)
    else:  # no signature, or entity keys alone
        in_columns = bool(values) and all(isinstance(value, list) for value in values.values())
    if not in_columns:
        return [values]
    columns = {name: cells if isinstance(cells, list) else [cells] for name, cells in values.items()}
    lengths = {name: len(cells) for name, cells in columns.items()}
    if len(set(lengths.values())) > 1:
        shown = listed(f"{name!r} has {length}" for name, length in lengths.items())
        raise InputError(f"The columns of 'inputs' are not of one length: {shown}.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _types(inputs: "Schema | None") -> dict[str, int | None]:
    """Levels of lists in a value of each named column, as of `_levels_of`."""
    if not inputs or not inputs.has_input_names():
        return {}
    if inputs.is_tensor_spec():
        return {str(spec.name): len(spec.shape) - 1 for spec in inputs.inputs}  # type: ignore[union-attr]
    return {str(column.name): _levels_of(column.type) for column in inputs.inputs}


def _levels_of(kind: Any) -> int | None:
    """Levels of lists in a value of a type: 0 for a scalar, an object or a map;
    None where it may be anything."""
    if hasattr(kind, "dtype"):  # an Array
        inner = _levels_of(kind.dtype)
        return None if inner is None else inner + 1
    return None if type(kind).__name__ == "AnyType" else 0


def _levels(value: Any) -> int:
    """Levels of lists in a value, by the first items."""
    levels = 0
    while isinstance(value, list):
        levels += 1
        value = value[0] if value else None
    return levels
