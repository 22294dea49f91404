"""Rows of an upload: a form with a field for each column, or the bytes of one image."""

from collections import defaultdict
from http import HTTPStatus
from typing import Any

import msgspec

from serving.inference.batching import require_room
from serving.inference.fields import Field
from serving.inference.refusals import listed
from serving.inference.rows import Rows, replace
from serving.inference.schema import RequestSchema
from serving.web.forms import FORM, Part, parts, unescaped
from serving.web.problems import Problem, invalid_input

IMAGE = "image/*"
#: Kinds of columns whose values are bytes.
BYTES = ("image", "binary")


def of_form(body: bytes, content_type: bytes, schema: RequestSchema, max_rows: int) -> Rows:
    """The rows of a form. Each field is a column, and comes once for each row.

    A value is read as a cell of a CSV is: an empty one is missing, but an empty text where prose has to be
    there. A column of lists or objects takes JSON.

    Raises:
        Problem: 400 for a body that is no form; 413 for too many rows; 415 for a model without named columns;
            422 for a field that does not fit.
    """
    if not schema.columns:
        detail = f"A form has a field for each column, and this model has no named columns. Send JSON instead of {FORM}."
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    columns: dict[str, list[Any]] = defaultdict(list)
    for part in parts(body, content_type):
        name = part.name if part.name in schema.fields else unescaped(part.name)
        columns[name].append(_value(part, name, schema))
    counts = {name: len(values) for name, values in columns.items()}
    if len(set(counts.values())) > 1:
        found = listed(f"{name!r} {count}" for name, count in counts.items())
        raise invalid_input(
            f"A form has each field once for each row, and these came so many times: {found}. Send an empty value where a "
            "row has none."
        )
    rows = max(counts.values(), default=0)
    require_room(rows, 0, max_rows)
    given = [{name: values[row] for name, values in columns.items()} for row in range(rows)]
    for sent in given:  # an entity key is absent, and never null
        for name in [name for name, value in sent.items() if value is None and name not in schema.columns]:
            del sent[name]
    converted = schema.convert(given)
    return replace(converted, single=rows == 1)


def of_image(body: bytes, schema: RequestSchema) -> Rows:
    """The row of a body that is an image, for a model whose only column is one.

    Raises:
        Problem: 415 for any other model.
    """
    if len(schema.columns) != 1 or not schema.images:
        takes = (
            f"This model takes {listed(schema.columns)}"
            if schema.columns
            else "This model has no named columns"
        )
        remedy = f" Send {FORM} with a field for each column, or JSON." if schema.images else " Send JSON."
        detail = f"A body that is an image is for models with one column, of images. {takes}.{remedy}"
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", detail)
    return replace(schema.convert([{schema.columns[0]: body}]), single=True)


def _value(part: Part, name: str, schema: RequestSchema) -> Any:
    field = schema.model_fields.get(name)
    if part.is_file:
        if not part.data and not part.filename:  # a file chooser in which nothing is chosen
            return None
        if field and field.kind not in BYTES:
            raise invalid_input(
                f"Field {name!r} is a file, and the column takes {field.wanted}. Send its value as text.",
                [{"row": 0, "column": name, "detail": f"must be {field.wanted}"}],
            )
        return part.data
    try:
        text = part.data.decode()
    except UnicodeDecodeError as error:
        raise invalid_input(f"Field {name!r} is not UTF-8 ({error.reason}). Send bytes as a file.") from None
    if field and field.kind in ("array", "any"):
        return _json(text, field)
    if not text and field and field.kind == "text" and not (field.nullable or field.reads):
        return text
    return schema.from_text(name, text)


def _json(text: str, field: Field) -> Any:
    """JSON of a column of lists or objects; a text that is no JSON as it is: the model's schema names it."""
    if not text.strip():
        return None
    if field.kind == "array" or text.lstrip()[0] in "[{":
        try:
            return msgspec.json.decode(text)
        except msgspec.DecodeError:
            pass
    return text
