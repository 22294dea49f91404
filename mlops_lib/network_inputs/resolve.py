"""Find the inputs of a network: from the parameters of its forward, config.yaml and the columns of the dataset."""

import difflib
import inspect
import math
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder, values_of
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.collate import Collated
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.spec import RAGGED, Form, Format, Inputs, InputSpec, Style
from mlops_lib.network_inputs.tokens import Tokens
from mlops_lib.settings.model import InputSettings, ModelSettings

if TYPE_CHECKING:
    import pandas as pd

#: Kind of a column -> form of an input of that column alone.
FORMS: dict[str, Form] = {
    "number": "number", "integer": "number", "boolean": "number", "category": "codes", "datetime": "parts",
    "text": "matrix", "array": "array", "sequence": "sequence",
}  # fmt: skip
#: Rows that show what a collate function makes, and whether answers depend on padding.
SAMPLE_ROWS = 64
EMPTY = inspect.Parameter.empty
KEYWORD, POSITIONAL = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_ONLY
#: Annotations of a dict, as text.
DICT = re.compile(r"(\w+\.)*(dict|mapping)\b", re.IGNORECASE)
ANY_POSITIONAL, ANY_KEYWORD = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD


@dataclass(frozen=True)
class Plan:
    """The inputs that a network needs, before anything is learned from the rows.

    Attributes:
        wanted: Input -> its settings, with every column named and a form chosen.
        style: How the network takes them.
        schema: Its features are all columns of the inputs.
        beside: Lengths and masks -> the sequence that they belong to.
        parameters: Of forward, for a collate function.
        collate: ``model.collate``.
        format: ``model.format``.
    """

    wanted: Mapping[str, InputSettings]
    style: Style
    schema: Schema
    beside: Mapping[str, str] = field(default_factory=dict)
    parameters: Sequence[inspect.Parameter] = ()
    collate: str = ""
    format: Format = "export"

    @property
    def encoded_schema(self) -> Schema:
        """The schema for an `Encoder`: the columns that are numbers or become numbers."""
        used = {name for one in self.wanted.values() if one.form not in RAGGED for name in one.columns}
        return self.schema.with_features(name for name in self.schema.features if name in used)

    def encoder(self, encoder: Encoder, sample: "pd.DataFrame", root: Path) -> InputEncoder:
        """The encoder of the inputs.

        Args:
            encoder: Of `encoded_schema`, fitted.
            sample: Rows that show what a collate function makes.
            root: The project's folder, for the file of a tokenizer.

        Raises:
            TrainingError: Shapes do not fit, or the function gives no tensors, or others than forward takes.
        """
        specs: list[InputSpec] = []
        for name, wanted in self.wanted.items():
            specs.append(_spec(name, wanted, self.schema, encoder, root))
            specs += [_beside(one, specs[-1]) for one, of in self.beside.items() if of == name]
        if self.collate:
            specs += self._collated(sample)
        inputs = Inputs(tuple(specs), self.style, collate=self.collate, format=self.format)
        return InputEncoder(inputs, encoder, self.schema, root)

    def _collated(self, sample: "pd.DataFrame") -> Sequence[InputSpec]:
        try:
            collated = Collated(self.collate, self.schema)
            columns = {name: values_of(sample[name]) for name in self.schema.features}
            specs = collated.specs(collated.rows(columns, len(sample)))
        except Exception as error:  # a user's code may raise anything
            raise TrainingError(
                f"model.collate {self.collate!r} fails: {type(error).__name__}: {error}"
            ) from error
        names = [spec.name for spec in specs]
        if self.style != "names" or len(names) == 1:
            return specs
        takes_all = any(one.kind is ANY_KEYWORD for one in self.parameters)
        known = {one.name for one in self.parameters}
        required = {
            one.name for one in self.parameters if one.default is EMPTY and one.kind is not ANY_KEYWORD
        }
        if required - set(names) or (set(names) - known and not takes_all):
            raise TrainingError(
                f"model.collate {self.collate!r} gives {', '.join(names)}, and forward takes {', '.join(sorted(known))}."
            )
        return specs


def plan(network: Any, model: ModelSettings, schema: Schema) -> Plan | None:
    """The inputs of a network; None for one that takes the matrix of all features.

    Args:
        network: The class, or a function that is annotated with the class that it returns.
        model: ``inputs``, ``collate`` and ``format`` are read.
        schema: Of the dataset.

    Raises:
        TrainingError: Forward and columns do not fit together; shows the ``model.inputs`` to write.
    """
    given = model.inputs
    settings = {name: _settings(one) for name, one in given.items()}
    if given and model.collate:
        raise TrainingError(
            "config.yaml has model.inputs and model.collate, which makes all inputs. Take one out."
        )
    forward = _forward(network)
    if forward is None:
        if not given and not model.collate and model.format == "export":
            return None
        raise TrainingError(
            f"model.inputs, collate or format is set, and {_name(network)} does not say which network it makes. Annotate the function with "
            "the class that it returns: def make(...) -> MyNetwork."
        )
    if forward.__qualname__ in ("LightningModule.forward", "_forward_unimplemented"):
        raise TrainingError(
            f"{_name(network)} has no forward, which predictions are made with. Define forward(self, x)."
        )
    parameters = _parameters(forward)
    style = _style(parameters)
    if model.collate:
        only = style == "names" and len(parameters) == 1 and parameters[0].kind not in (ANY_KEYWORD, KEYWORD)
        return Plan(
            {}, "positions" if only else style, schema,
            parameters=parameters, collate=model.collate, format=model.format,
        )  # fmt: skip
    if not settings:
        if _takes_the_matrix(parameters, style, schema):
            _require_encodable(network, schema)
            if model.format == "export":
                return None
            matrix = InputSettings(columns=list(schema.features), form="matrix", dtype="float32")
            return Plan({parameters[0].name: matrix}, "positions", schema, format=model.format)
        if style == "positions":
            raise TrainingError(
                f"{_name(network)}.forward takes its inputs without names, so their order must be set in config.yaml:\n"
                f"{_proposal(schema.features)}"
            )
    names = list(settings) or list(schema.features)
    required: list[str] = []
    if style == "names":
        open_ended = any(one.kind is ANY_KEYWORD for one in parameters)
        named = [one for one in parameters if one.kind is not ANY_KEYWORD]
        required = [one.name for one in named if one.default is EMPTY]
        known = [one.name for one in named]
        if extra := [name for name in settings if name not in known and not open_ended]:
            raise TrainingError(
                f"model.inputs has {extra[0]!r}, and {_name(network)}.forward has no such parameter. It has: "
                f"{', '.join(known)}."
            )
        if not open_ended:
            names = [name for name in known if name in settings or name in schema.features]
        elif not settings:
            names = [name for name in schema.features if name.isidentifier()]
    wanted = {name: _complete(name, settings.get(name), schema) for name in names}
    beside = _beside_of(wanted, style, parameters)
    if missing := [name for name in required if name not in wanted and name not in beside]:
        raise _unknown(network, missing, wanted, schema)
    if not wanted:
        raise _unknown(network, [one.name for one in parameters], wanted, schema)
    columns = dict.fromkeys(column for one in wanted.values() for column in one.columns)
    ordered = [name for name in schema.features if name in columns]
    return Plan(wanted, style, schema.with_features(ordered), beside, format=model.format)


def _forward(network: Any) -> Callable[..., Any] | None:
    if not inspect.isclass(network):
        try:
            network = typing.get_type_hints(network).get("return")
        except (NameError, TypeError):
            return None
    return getattr(network, "forward", None) if inspect.isclass(network) else None


def _parameters(forward: Callable[..., Any]) -> list[inspect.Parameter]:
    return list(inspect.signature(forward).parameters.values())[1:]  # without self


def _style(parameters: Sequence[inspect.Parameter]) -> Style:
    first = parameters[0] if parameters else None
    if first and len(parameters) == 1 and first.kind not in (ANY_POSITIONAL, ANY_KEYWORD):
        kind = typing.get_origin(first.annotation) or first.annotation
        is_dict = inspect.isclass(kind) and issubclass(kind, Mapping)
        is_dict = is_dict or (isinstance(kind, str) and bool(DICT.match(kind)))
        if is_dict or first.name == "batch":
            return "batch"
    if any(one.kind in (ANY_POSITIONAL, POSITIONAL) for one in parameters):
        return "positions"
    return "names"


def _takes_the_matrix(parameters: Sequence[inspect.Parameter], style: Style, schema: Schema) -> bool:
    """Whether forward has one parameter that names no column; ``x`` names one only if that is an array or sequence."""
    required = [one for one in parameters if one.default is EMPTY]
    if style == "batch" or len(required) != 1 or required[0].kind in (ANY_KEYWORD, ANY_POSITIONAL, KEYWORD):
        return False
    column = schema.features.get(required[0].name)
    optional = [one.name for one in parameters if one.default is not EMPTY]
    if any(name in schema.features for name in optional):
        return column is None and required[0].name == "x"
    return column is None or (column.name == "x" and column.kind not in ("array", "sequence"))


def _require_encodable(network: Any, schema: Schema) -> None:
    """Check that every feature has a place in the matrix."""
    for column in schema.features.values():
        if column.kind in ("sequence", "image"):
            raise TrainingError(
                f"{_name(network)}.forward takes one matrix, and column {column.name!r} is a {column.kind}, which has no "
                f"place in it. Give forward a parameter named {column.name!r}, or set model.inputs in config.yaml:\n"
                f"{_proposal(schema.features)}\nOr leave the column out with data.columns (drop)."
            )


def _settings(given: str | Sequence[str] | InputSettings) -> InputSettings:
    if isinstance(given, InputSettings):
        return given
    return InputSettings(column=given) if isinstance(given, str) else InputSettings(columns=list(given))


def _complete(name: str, given: InputSettings | None, schema: Schema) -> InputSettings:
    """The settings of an input with its columns and form."""
    given = given or InputSettings()
    if given.column and given.columns:
        raise TrainingError(f"model.inputs.{name} has column and columns. Set one of them.")
    columns = given.columns or [given.column or name]
    for column in columns:
        if column not in schema.features:
            raise TrainingError(
                f"model.inputs.{name} names the column {column!r}, which is no feature{_why_not(column, schema)}. "
                f"Features: {_listed(schema)}."
            )
    kinds = [schema.features[column].kind for column in columns]
    form: Form = "matrix" if len(columns) > 1 else FORMS.get(kinds[0], "matrix")
    if given.tokenizer:
        if len(columns) > 1 or kinds[0] not in ("text", "category"):
            raise TrainingError(
                f"model.inputs.{name} has a tokenizer, and {columns[0]!r} is a {kinds[0]}: name one text."
            )
        form = "tokens"
    if "image" in kinds:
        raise TrainingError(
            f"Column {columns[kinds.index('image')]!r} is an image; no network takes one yet."
        )
    if len(columns) > 1 and "sequence" in kinds:
        raise TrainingError(
            f"model.inputs.{name} has {columns[kinds.index('sequence')]!r}, a sequence, which needs an input of its own."
        )
    if given.form and given.form != form:
        form = _other_form(name, given.form, schema.features[columns[0]], len(columns))
    if (given.shape and form != "array") or (given.length and form not in RAGGED):
        option = "shape" if given.shape else "length"
        raise TrainingError(f"model.inputs.{name} has {option}, and its form is {form}. Take {option} out.")
    dtype = given.dtype or ("int64" if form in ("codes", "tokens") else "float32")
    return given.model_copy(update={"columns": columns, "column": "", "form": form, "dtype": dtype})


def _other_form(name: str, form: Form, column: Column, columns: int) -> Form:
    """A form that the kind of the columns does not have by itself.

    Raises:
        TrainingError: The columns cannot have it.
    """
    if form == "matrix" and column.kind != "sequence":
        return form
    remedy = ""
    if form == "codes" and columns == 1:
        remedy = f" Make it a category: data.columns: {{{column.name}: category}}."
    elif form == "sequence" and column.kind == "array":
        remedy = f" Make it a sequence: data.columns: {{{column.name}: sequence}}."
    raise TrainingError(
        f"model.inputs.{name} has the form {form}, and column {column.name!r} is a {column.kind}.{remedy}"
    )


def _spec(name: str, wanted: InputSettings, schema: Schema, encoder: Encoder, root: Path) -> InputSpec:
    columns, form = tuple(wanted.columns), typing.cast(Form, wanted.form)
    if form == "sequence":
        shape: tuple[int | None, ...] = (wanted.length or None, *schema.features[columns[0]].shape[1:])
        return InputSpec(name, columns, form, wanted.dtype, shape, length=wanted.length)
    if form == "tokens":
        return _tokens(name, wanted, schema.features[columns[0]], root)
    outputs = [output for column in columns for output in encoder.parts[column].outputs]
    if form == "array":
        column = schema.features[columns[0]]
        found = tuple(wanted.shape) or column.shape or (column.width,)
        if math.prod(found) != len(outputs):
            raise TrainingError(
                f"model.inputs.{name} has the shape {list(found)}, and column {columns[0]!r} has "
                f"{len(outputs)} numbers in each row."
            )
        return InputSpec(name, columns, form, wanted.dtype, found)
    if form in ("number", "codes"):
        return InputSpec(name, columns, form, wanted.dtype, codes=outputs[0].codes)
    return InputSpec(name, columns, form, wanted.dtype, (len(outputs),))


def _tokens(name: str, wanted: InputSettings, column: Column, root: Path) -> InputSpec:
    try:
        codes = Tokens(column, wanted.tokenizer, wanted.length, root).codes
    except ImportError as error:
        raise TrainingError(
            f"The tokenizer {wanted.tokenizer!r} of model.inputs.{name} cannot be imported: {error}. A file needs: pip install "
            "tokenizers."
        ) from error
    except Exception as error:  # a user's code may raise anything
        raise TrainingError(
            f"The tokenizer {wanted.tokenizer!r} of model.inputs.{name} cannot be made: {type(error).__name__}: {error}."
        ) from error
    return InputSpec(
        name, (column.name,), "tokens", wanted.dtype, (wanted.length or None,), codes, wanted.length,
        tokenizer=wanted.tokenizer,
    )  # fmt: skip


def _beside(name: str, sequence: InputSpec) -> InputSpec:
    if name.endswith("_mask"):
        return InputSpec(name, sequence.columns, "mask", "bool", sequence.shape[:1], of=sequence.name)
    return InputSpec(name, sequence.columns, "lengths", "int64", of=sequence.name)


def _beside_of(
    wanted: Mapping[str, InputSettings], style: Style, parameters: Sequence[inspect.Parameter]
) -> dict[str, str]:
    """Lengths and masks that forward has parameters for; a dict has both."""
    asked = {one.name for one in parameters}
    takes_all = style == "batch" or any(one.kind is ANY_KEYWORD for one in parameters)
    return {
        beside: name
        for name, one in wanted.items()
        if one.form in RAGGED
        for beside in (f"{name}_lengths", f"{name}_mask")
        if (takes_all or beside in asked) and beside not in wanted
    }


def _unknown(
    network: Any, missing: Sequence[str], wanted: Mapping[str, InputSettings], schema: Schema
) -> TrainingError:
    free = [name for name in schema.features if name not in wanted]
    proposed = {}
    for name in missing:
        close = difflib.get_close_matches(name, free, n=1, cutoff=0.4)
        proposed[name] = close[0] if close else "COLUMN"
    return TrainingError(
        f"{_name(network)}.forward takes {', '.join(map(repr, missing))}, which "
        f"{'is' if len(missing) == 1 else 'are'} no feature of the data. Name the columns in config.yaml:\n"
        f"{_proposal(proposed)}\nFeatures: {_listed(schema)}. A list makes one matrix of several columns."
    )


def _proposal(inputs: Iterable[str] | Mapping[str, str]) -> str:
    lines = inputs.items() if isinstance(inputs, dict) else ((name, name) for name in inputs)
    shown = (f"    {name}: {column if isinstance(column, str) else name}" for name, column in lines)
    return "\n".join(["model:", "  inputs:", *shown])


def _why_not(name: str, schema: Schema) -> str:
    column = next((one for one in schema.columns if one.name == name), None)
    return f": its role is {column.role} ({column.reason})" if column else ""


def _listed(schema: Schema) -> str:
    return ", ".join(f"{name} ({column.kind})" for name, column in schema.features.items())


def _name(network: Any) -> str:
    return getattr(network, "__name__", str(network))
