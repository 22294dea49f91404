"""The settings of each input of a network, with its columns and form filled in from the dataset."""

from collections.abc import Sequence

from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.spec import RAGGED, Form
from mlops_lib.settings.model import InputSettings

#: Kind of a column -> form of an input of that column alone.
FORMS: dict[str, Form] = {
    "number": "number", "integer": "number", "boolean": "number", "category": "codes", "datetime": "parts",
    "text": "matrix", "array": "array", "sequence": "sequence", "image": "image",
}  # fmt: skip
#: Settings that only some forms have.
OPTIONS: dict[str, tuple[str, ...]] = {
    "shape": ("array", "image"), "length": RAGGED, "resize": ("image",), "mean": ("image",), "std": ("image",),
}  # fmt: skip


def settings_of(given: str | Sequence[str] | InputSettings) -> InputSettings:
    """An input of config.yaml: its settings, the name of a column, or names of columns."""
    if isinstance(given, InputSettings):
        return given
    return InputSettings(column=given) if isinstance(given, str) else InputSettings(columns=list(given))


def complete(name: str, given: InputSettings | None, schema: Schema) -> InputSettings:
    """The settings of an input with its columns, form and dtype.

    Args:
        given: Of config.yaml; None: the column with the name of the input.

    Raises:
        TrainingError: A column is no feature, or settings and columns contradict each other.
    """
    given = given or InputSettings()
    if given.column and given.columns:
        raise TrainingError(f"model.inputs.{name} has column and columns. Set one of them.")
    columns = given.columns or [given.column or name]
    for column in columns:
        if column not in schema.features:
            raise TrainingError(
                f"model.inputs.{name} names the column {column!r}, which is no feature{_why_not(column, schema)}. "
                f"Features: {listed(schema)}."
            )
    form = _form(name, given, [schema.features[column] for column in columns])
    for option, forms in OPTIONS.items():
        if getattr(given, option) and form not in forms:
            raise TrainingError(
                f"model.inputs.{name} has {option}, and its form is {form}. Take {option} out."
            )
    if (given.dtype == "uint8") > (form == "image") or (given.dtype == "int64" and form == "image"):
        raise TrainingError(
            f"model.inputs.{name} has dtype {given.dtype}, and its form is {form}. Take dtype out."
        )
    dtype = given.dtype or ("int64" if form in ("codes", "tokens") else "float32")
    return given.model_copy(update={"columns": columns, "column": "", "form": form, "dtype": dtype})


def listed(schema: Schema) -> str:
    """The features with their kinds, for errors."""
    return ", ".join(f"{name} ({column.kind})" for name, column in schema.features.items())


def _form(name: str, given: InputSettings, columns: Sequence[Column]) -> Form:
    first = columns[0]
    form: Form = "matrix" if len(columns) > 1 else FORMS.get(first.kind, "matrix")
    if given.tokenizer:
        if len(columns) > 1 or first.kind not in ("text", "category"):
            raise TrainingError(
                f"model.inputs.{name} has a tokenizer, and {first.name!r} is a {first.kind}: name one text."
            )
        form = "tokens"
    if alone := [column for column in columns if len(columns) > 1 and column.kind in ("sequence", "image")]:
        raise TrainingError(
            f"model.inputs.{name} has {alone[0].name!r}, {_a(alone[0].kind)}, which needs an input of its own."
        )
    if given.form and given.form != form:
        _require_other_form(name, given.form, columns)
        form = given.form
    return form


def _require_other_form(name: str, form: Form, columns: Sequence[Column]) -> None:
    """Check that columns can have a form that their kind does not have by itself.

    Raises:
        TrainingError: They cannot.
    """
    column, remedy = columns[0], ""
    if form == "matrix" and column.kind not in ("sequence", "image"):
        return
    if form == "codes" and len(columns) == 1:
        remedy = f" Make it a category: data.columns: {{{column.name}: category}}."
    elif form == "sequence" and column.kind == "array":
        remedy = f" Make it a sequence: data.columns: {{{column.name}: sequence}}."
    elif form == "image" and len(columns) == 1:
        remedy = f" If it holds images as base64: data.columns: {{{column.name}: image}}."
    raise TrainingError(
        f"model.inputs.{name} has the form {form}, and column {column.name!r} is {_a(column.kind)}.{remedy}"
    )


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aei' else 'a'} {kind}"


def _why_not(name: str, schema: Schema) -> str:
    column = next((one for one in schema.columns if one.name == name), None)
    return f": its role is {column.role} ({column.reason})" if column else ""
