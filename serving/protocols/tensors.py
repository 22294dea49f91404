"""Rows from tensors of the Open Inference Protocol, JSON or binary."""

from typing import Any

import msgspec
import numpy as np

from serving.inference.batching import require_room
from serving.inference.schema import RequestSchema
from serving.web.problems import invalid_input

DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip


class Tensor(msgspec.Struct):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] = {}


def rows_of(inputs: list[Tensor], binary: memoryview, schema: RequestSchema, max_rows: int) -> list[Any]:
    """The rows of a request's tensors: one dict a row, or the items of the one tensor of an unnamed signature.

    Raises:
        Problem: 422 for tensors that do not fit; 413 for more than `max_rows` rows.
    """
    columns: dict[str, list[Any]] = {}
    for tensor in inputs:
        size = tensor.parameters.get("binary_data_size")
        if size is not None and (not isinstance(size, int) or not 0 <= size <= len(binary)):
            raise invalid_input(
                f"Input {tensor.name!r}: binary_data_size is {size!r}, the body has {len(binary)} bytes."
            )
        field = schema.model_fields.get(tensor.name)
        is_list = field is not None and field.kind == "array"
        columns[tensor.name] = values = _values(tensor, None if size is None else binary[:size], is_list)
        require_room(len(values), 0, max_rows)
        binary = binary[size or 0 :]
    if not schema.columns:
        if len(columns) != 1:
            raise invalid_input(f"This model takes one tensor, not {len(columns)}.")
        return next(iter(columns.values()))
    if len({len(values) for values in columns.values()}) > 1:
        raise invalid_input("The inputs have different numbers of rows.")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(tensor: Tensor, binary: memoryview | None, is_list: bool) -> list[Any]:
    """One value a row: a scalar for shape [rows] or [rows, 1], else nested lists. None for null and NaN.

    Args:
        is_list: Whether a value of the column is a list, even of one item.
    """
    try:
        if tensor.datatype == "BYTES":
            flat = tensor.data if binary is None else unpacked(binary)
            values = np.array(flat, dtype=object).reshape(tensor.shape)
        elif tensor.datatype not in DTYPES:
            raise invalid_input(f"Input {tensor.name!r}: datatype {tensor.datatype!r} is not known.")
        elif binary is None:
            values = _array(tensor.data, DTYPES[tensor.datatype]).reshape(tensor.shape)
        else:
            values = np.frombuffer(binary, dtype=DTYPES[tensor.datatype]).reshape(tensor.shape)
    except (ValueError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise invalid_input(
            f"Input {tensor.name!r} is no {tensor.datatype} {tensor.shape}: {error}."
        ) from None
    if values.ndim == 0 or any(size < 0 for size in tensor.shape):
        raise invalid_input(f"Input {tensor.name!r}: shape {tensor.shape} has no rows.")
    if values.dtype.kind == "f":
        if np.isinf(values).any():
            raise invalid_input(f"Input {tensor.name!r} has values that are not finite.")
        if (missing := np.isnan(values)).any():
            values = values.astype(object)
            values[missing] = None
    return (values if is_list or values.ndim != 2 or values.shape[1] != 1 else values[:, 0]).tolist()


def _array(data: Any, wanted: type[np.generic]) -> np.ndarray[Any, Any]:
    """JSON values as an array; of objects where some are null.

    Values of another kind are refused: numpy would turn 1.7 into 1, and "false" into True.
    """
    kinds = {bool} if wanted is np.bool_ else {int} if issubclass(wanted, np.integer) else {int, float}
    values = np.asarray(data, dtype=object)
    found = set(map(type, values.ravel()))
    if others := found - kinds - {type(None)}:
        raise TypeError(f"its data have {', '.join(sorted(kind.__name__ for kind in others))}")
    if type(None) not in found:
        return np.asarray(data, dtype=wanted)
    known = np.array([value is not None for value in values.flat]).reshape(values.shape)
    values[known] = values[known].astype(wanted).tolist()
    return values


def unpacked(binary: memoryview) -> list[str]:
    """The strings of `packed`."""
    found, at = [], 0
    while at < len(binary):
        size = int.from_bytes(binary[at : at + 4], "little")
        if at + 4 + size > len(binary):
            raise ValueError("a string is longer than what is left")
        found.append(bytes(binary[at + 4 : at + 4 + size]).decode())
        at += 4 + size
    return found


def packed(texts: list[str]) -> bytes:
    """Strings, each behind its length in 4 bytes, little-endian."""
    encoded = [text.encode() for text in texts]
    return b"".join(len(text).to_bytes(4, "little") + text for text in encoded)


def datatype_of(dtype: Any) -> str:
    return next((name for name, known in DTYPES.items() if np.dtype(known) == dtype), "BYTES")
