"""Rows from tensors of the Open Inference Protocol, JSON or binary."""

import base64
import binascii
import math
from array import array
from typing import Any

import msgspec
import numpy as np

from serving.inference.batching import require_room
from serving.inference.schema import RequestSchema
from serving.protocols.input_tensors import column_of, columns_of
from serving.web.problems import invalid_input

DTYPES: dict[str, type[np.generic]] = {
    "BOOL": np.bool_, "UINT8": np.uint8, "UINT16": np.uint16, "UINT32": np.uint32, "UINT64": np.uint64,
    "INT8": np.int8, "INT16": np.int16, "INT32": np.int32, "INT64": np.int64,
    "FP16": np.float16, "FP32": np.float32, "FP64": np.float64,
}  # fmt: skip
#: The upper half of a 32-bit float, a type that numpy lacks.
BF16 = "BF16"
#: Datatypes of JSON's own types: their values need no conversion.
PLAIN: dict[str, type] = {"FP64": float, "FP32": float, "INT64": int, "BOOL": bool, "BYTES": str}
#: Parameters of an input -> the values that are taken; empty: any.
PARAMETERS: dict[str, tuple[Any, ...]] = {
    "binary_data_size": (),
    "content_type": ("np", "str", "datetime", "base64"),  # MLServer's; base64 is how its JSON carries bytes
}


class Tensor(msgspec.Struct, forbid_unknown_fields=True):
    """One input of a request."""

    name: str
    shape: list[int]
    datatype: str
    data: Any = None
    parameters: dict[str, Any] | None = None


def rows_of(inputs: list[Tensor], binary: memoryview, schema: RequestSchema, max_rows: int) -> list[Any]:
    """The rows of a request's tensors: one dict a row, or the items of the one
    tensor of an unnamed signature.

    Raises:
        Problem: 422 for tensors that do not fit; 413 for more than `max_rows` rows.
    """
    columns: dict[str, list[Any]] = {}
    named = {tensor.name for tensor in inputs}
    for column in schema.model_fields.values():
        if column.objects and (column.name in named or not column.optional):
            raise invalid_input(
                f"Column {column.name!r} of this model holds objects, which tensors cannot carry. Send JSON rows to /predict "
                "or /invocations; a chat to /v1/chat/completions."
            )
    for tensor in inputs:
        if tensor.name in columns:
            raise invalid_input(f"Input {tensor.name!r} is there twice.")
        require_room(tensor.shape[0] if tensor.shape else 0, 0, max_rows)
        own_name = column_of(tensor.name, schema.network_inputs, schema.model_fields)
        field = schema.model_fields.get(own_name)
        kind = field.kind if field else ""
        if kind not in ("binary", "image") and (plain := _plain(tensor)):
            columns[tensor.name] = plain
            continue
        require_known(f"Input {tensor.name!r}", tensor.parameters, PARAMETERS)
        own, binary = _own_bytes(tensor, binary)
        columns[tensor.name] = _values(tensor, own, kind)
    if len(binary):
        raise invalid_input(f"{len(binary)} bytes of the body belong to no input: see binary_data_size.")
    if not schema.columns:
        if len(columns) != 1:
            raise invalid_input(f"This model takes one tensor, not {len(columns)}.")
        return next(iter(columns.values()))
    if len({len(values) for values in columns.values()}) > 1:
        raise invalid_input("The inputs have different numbers of rows.")
    if schema.network_inputs:
        columns = columns_of(columns, schema.network_inputs, schema.model_fields)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def require_known(
    owner: str, parameters: dict[str, Any] | None, known: dict[str, tuple[Any, ...]]
) -> dict[str, Any]:
    """The parameters that are not null.

    Args:
        owner: Whose they are, for the error.
        known: Name -> the values that are taken; empty: any.

    Raises:
        Problem: 422 for a parameter that has another name or value.
    """
    given = {name: value for name, value in (parameters or {}).items() if value is not None}
    for name, value in given.items():
        if name not in known:
            raise invalid_input(f"{owner}: parameter {name!r} cannot be used. Known: {', '.join(known)}.")
        if known[name] and value not in known[name]:
            taken = ", ".join(map(repr, known[name]))
            raise invalid_input(f"{owner}: parameter {name!r} is {value!r}, and must be one of {taken}.")
    return given


def _plain(tensor: Tensor) -> list[Any] | None:
    """The data of a tensor that are one value a row already, as most are:
    without numpy it takes a tenth of the time."""
    data, datatype = tensor.data, tensor.datatype
    if tensor.parameters or type(data) is not list or tensor.shape != [len(data)] or not data:
        return None
    if set(map(type, data)) != {PLAIN.get(datatype)}:
        return None
    if datatype == "INT64" and not (min(data) >= -(2**63) and max(data) < 2**63):
        return None
    if datatype == "FP32":
        data = array("f", data).tolist()
        return data if all(map(math.isfinite, data)) else None
    return data


def _own_bytes(tensor: Tensor, binary: memoryview) -> tuple[memoryview | None, memoryview]:
    """The bytes of a tensor (None: its data are JSON), and those that follow them."""
    size = (tensor.parameters or {}).get("binary_data_size")
    if size is None:
        if not isinstance(tensor.data, list):
            raise invalid_input(
                f"Input {tensor.name!r}: its data must be a list, or binary_data_size be set."
            )
        return None, binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise invalid_input(
            f"Input {tensor.name!r}: binary_data_size is {size!r}, the body has {len(binary)} bytes."
        )
    if tensor.data is not None:
        raise invalid_input(f"Input {tensor.name!r} has both data and binary_data_size.")
    return binary[:size], binary[size:]


def _values(tensor: Tensor, binary: memoryview | None, kind: str) -> list[Any]:
    """One value a row: a scalar for shape [rows] or [rows, 1], else nested lists. None for null and NaN.

    Args:
        kind: Of the column. A value of an ``array`` is a list, even of one item;
            one of a ``binary`` is bytes; one of an ``image`` is bytes, or base64 in JSON, or an array.
    """
    shape, datatype = tensor.shape, tensor.datatype
    if not shape or min(shape) < 0 or 0 in shape[1:]:
        raise invalid_input(f"Input {tensor.name!r}: shape {shape} has no rows.")
    try:
        if datatype == "BYTES":
            values = _texts(tensor, binary, kind)
        elif datatype not in DTYPES and datatype != BF16:
            raise invalid_input(
                f"Input {tensor.name!r}: datatype {datatype!r} is not known. Known: "
                f"{', '.join(DTYPES)}, {BF16}, BYTES."
            )
        elif binary is None:
            values = _array(tensor.data, DTYPES.get(datatype, np.float32))
        elif datatype == BF16:
            values = (np.frombuffer(binary, dtype=np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(binary, dtype=DTYPES[datatype])
        if values.ndim > 1 and values.shape != tuple(shape):
            raise ValueError(f"its data are nested as {list(values.shape)}")
        if values.size != math.prod(shape):
            raise ValueError(f"it has {values.size} values")
        values = values.reshape(shape)
    except (ValueError, TypeError, OverflowError) as error:
        raise invalid_input(f"Input {tensor.name!r} is no {datatype} {shape}: {error}.") from None
    if kind == "image" and datatype != "BYTES":
        return list(values)
    if values.dtype.kind == "f":
        if np.isinf(values).any():
            raise invalid_input(f"Input {tensor.name!r} has values that are not finite.")
        if (missing := np.isnan(values)).any():
            values = values.astype(object)
            values[missing] = None
    return (values if kind == "array" or values.ndim != 2 or values.shape[1] != 1 else values[:, 0]).tolist()


def _array(data: Any, wanted: type[np.generic]) -> np.ndarray[Any, Any]:
    """JSON values as an array; of objects where some are null.

    Values of another kind are refused: numpy would turn 1.7 into 1, and "false" into True.
    """
    kinds = {bool} if wanted is np.bool_ else {int} if issubclass(wanted, np.integer) else {int, float}
    values = np.asarray(data, dtype=object)
    found = set(map(type, values.ravel()))
    if others := found - kinds - {type(None)}:
        raise TypeError(f"its data have {', '.join(sorted(kind.__name__ for kind in others))}")
    with np.errstate(over="ignore"):  # an infinity is refused later
        if type(None) not in found:
            return np.asarray(data, dtype=wanted)
        known = np.array([value is not None for value in values.flat]).reshape(values.shape)
        values[known] = values[known].astype(wanted).tolist()
    return values


def _texts(tensor: Tensor, binary: memoryview | None, kind: str) -> np.ndarray[Any, Any]:
    """The elements of a BYTES tensor as texts, or as bytes for a column of bytes or images. None for null.

    An image in JSON stays text: it is base64, as in JSON rows.
    """
    values: np.ndarray[Any, Any]
    as_bytes = kind == "binary" or (kind == "image" and binary is not None)
    is_base64 = (tensor.parameters or {}).get("content_type") == "base64"
    if is_base64 and (binary is not None or kind not in ("binary", "image")):
        raise TypeError("content_type 'base64' is for JSON data of a binary column or of images")
    if binary is not None:
        parts = unpacked(binary)
        values = np.empty(len(parts), dtype=object)
        values[:] = parts if as_bytes else [_decoded(part, n) for n, part in enumerate(parts)]
        return values
    values = np.asarray(tensor.data, dtype=object)
    if others := set(map(type, values.ravel())) - {str, type(None)}:
        raise TypeError(f"its data have {', '.join(sorted(kind.__name__ for kind in others))}")
    if not as_bytes:
        return values
    flat = [text if text is None else _encoded(text, is_base64) for text in values.flat]
    made = np.empty(len(flat), dtype=object)
    made[:] = flat
    return made.reshape(values.shape)


def _decoded(part: bytes, number: int) -> str:
    try:
        return part.decode()
    except UnicodeDecodeError as error:
        raise ValueError(
            f"element {number} is not UTF-8, and this input takes text ({error.reason})"
        ) from None


def _encoded(text: str, is_base64: bool) -> bytes:
    if not is_base64:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{text[:40]!r} is not base64 ({error})") from None


def unpacked(binary: memoryview) -> list[bytes]:
    """The elements of `packed`."""
    found, at = [], 0
    while at < len(binary):
        size = int.from_bytes(binary[at : at + 4], "little")
        if at + 4 + size > len(binary):
            raise ValueError("an element is longer than the bytes that are left")
        found.append(bytes(binary[at + 4 : at + 4 + size]))
        at += 4 + size
    return found


def packed(elements: list[str] | list[bytes]) -> bytes:
    """Elements, each behind its length in 4 bytes, little-endian."""
    encoded = [each.encode() if isinstance(each, str) else each for each in elements]
    return b"".join(len(each).to_bytes(4, "little") + each for each in encoded)


def datatype_of(dtype: Any) -> str:
    return next((name for name, known in DTYPES.items() if np.dtype(known) == dtype), "BYTES")
