"""Find the inputs of a network: from the parameters of its forward,
config.yaml and the columns of the dataset."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder, values_of
from mlops_lib.columns.schema import Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.collate import Collated
from mlops_lib.network_inputs.encode import InputEncoder
from mlops_lib.network_inputs.forward import Forward, name_of
from mlops_lib.network_inputs.spec import RAGGED, Format, Inputs, InputSpec, Style
from mlops_lib.network_inputs.specs import beside, spec_of
from mlops_lib.network_inputs.wanted import complete, listed, settings_of
from mlops_lib.settings.model import InputSettings, ModelSettings

if TYPE_CHECKING:
    import pandas as pd

#: Rows that show what a collate function makes, and whether answers depend on padding.
SAMPLE_ROWS = 64


@dataclass(frozen=True)
class Plan:
    """The inputs that a network needs, before anything is learned from the rows.

    Attributes:
        forward: Of the network.
        wanted: Input -> its settings, with every column named and a form chosen.
        style: How the network takes them.
        schema: Its features are all columns of the inputs.
        beside: Lengths and masks -> the sequence that they belong to.
        collate: ``model.collate``.
        format: ``model.format``.
    """

    forward: Forward
    wanted: Mapping[str, InputSettings]
    style: Style
    schema: Schema
    beside: Mapping[str, str] = field(default_factory=dict)
    collate: str = ""
    format: Format = "export"

    @property
    def encoded_schema(self) -> Schema:
        """The schema for an `Encoder`: the columns that are numbers or become numbers."""
        used = {
            name for one in self.wanted.values() if one.form not in (*RAGGED, "image") for name in one.columns
        }
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
            specs.append(spec_of(name, wanted, self.schema, encoder, root))
            specs += [beside(one, specs[-1]) for one, of in self.beside.items() if of == name]
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
        names, forward = [spec.name for spec in specs], self.forward
        if self.style != "names" or len(names) == 1:
            return specs
        unknown = not forward.takes_any_name and set(names) - set(forward.names)
        if unknown or set(forward.required) - set(names):
            taken = ", ".join(sorted(one.name for one in forward.parameters))
            raise TrainingError(
                f"model.collate {self.collate!r} gives {', '.join(names)}, and forward takes {taken}."
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
    if model.inputs and model.collate:
        raise TrainingError(
            "config.yaml has model.inputs and model.collate, which makes all inputs. Take one out."
        )
    forward = Forward.of(network)
    if forward is None:
        if not model.inputs and not model.collate and model.format == "export":
            return None
        raise TrainingError(
            f"model.inputs, collate or format is set, and {name_of(network)} does not say which network it makes. Annotate the "
            "function with the class that it returns: def make(...) -> MyNetwork."
        )
    style = forward.style
    if model.collate:
        by_position = style == "names" and forward.takes_one_by_position
        return Plan(
            forward, {}, "positions" if by_position else style, schema, collate=model.collate, format=model.format
        )  # fmt: skip
    only = next(iter(schema.features.values())) if len(schema.features) == 1 else None
    if not model.inputs and only and only.kind == "image" and forward.takes_the_matrix(schema):
        wanted = {forward.required[0]: complete(forward.required[0], InputSettings(column=only.name), schema)}
        return Plan(forward, wanted, "positions", schema, format=model.format)
    if not model.inputs and forward.takes_the_matrix(schema):
        _require_encodable(forward, schema)
        if model.format == "export":
            return None
        return of_matrix(network, schema, model.format)
    return _of_columns(forward, model, schema)


def of_matrix(network: Any, schema: Schema, format: Format = "export") -> Plan:
    """The plan of a network that takes the matrix of all features."""
    forward = Forward.of(network)
    name = forward.parameters[0].name if forward else "x"
    matrix = InputSettings(columns=list(schema.features), form="matrix", dtype="float32")
    return Plan(forward or Forward(name_of(network), ()), {name: matrix}, "positions", schema, format=format)


def _of_columns(forward: Forward, model: ModelSettings, schema: Schema) -> Plan:
    """The plan of inputs that are columns, named by config.yaml or by forward."""
    style, settings = forward.style, {name: settings_of(one) for name, one in model.inputs.items()}
    if style == "positions" and not settings:
        raise TrainingError(
            f"{forward.network}.forward takes its inputs without names, so their order must be set in config.yaml:\n"
            f"{_proposal(schema.features)}"
        )
    wanted = {name: complete(name, settings.get(name), schema) for name in _names(forward, settings, schema)}
    sides = _beside_of(wanted, forward)
    required = forward.required if style == "names" else []
    missing = [name for name in required if name not in wanted and name not in sides]
    if missing or not wanted:
        raise _unknown(forward, missing or [one.name for one in forward.parameters], wanted, schema)
    columns = {column for one in wanted.values() for column in one.columns}
    ordered = [name for name in schema.features if name in columns]
    return Plan(forward, wanted, style, schema.with_features(ordered), sides, format=model.format)


def _names(forward: Forward, settings: Mapping[str, InputSettings], schema: Schema) -> list[str]:
    """The inputs, in the order of forward's parameters where it names them."""
    if forward.style != "names":
        return list(settings) or list(schema.features)
    if forward.takes_any_name:
        return list(settings) or [name for name in schema.features if name.isidentifier()]
    if extra := [name for name in settings if name not in forward.names]:
        raise TrainingError(
            f"model.inputs has {extra[0]!r}, and {forward.network}.forward has no such parameter. It has: "
            f"{', '.join(forward.names)}."
        )
    return [name for name in forward.names if name in settings or name in schema.features]


def _require_encodable(forward: Forward, schema: Schema) -> None:
    """Check that every feature has a place in the matrix."""
    for column in schema.features.values():
        if column.kind in ("sequence", "image"):
            raise TrainingError(
                f"{forward.network}.forward takes one matrix, and column {column.name!r} is {'an' if column.kind == 'image' else 'a'} {column.kind}, which has no "
                f"place in it. Give forward a parameter named {column.name!r}, or set model.inputs in config.yaml:\n"
                f"{_proposal(schema.features)}\nOr leave the column out with data.columns (drop)."
            )


def _beside_of(wanted: Mapping[str, InputSettings], forward: Forward) -> dict[str, str]:
    """Lengths and masks that forward has parameters for; a dict has both."""
    takes_all = forward.style == "batch" or forward.takes_any_name
    return {
        side: name
        for name, one in wanted.items()
        if one.form in RAGGED
        for side in (f"{name}_lengths", f"{name}_mask")
        if (takes_all or side in forward.names) and side not in wanted
    }


def _unknown(
    forward: Forward, missing: Sequence[str], wanted: Mapping[str, InputSettings], schema: Schema
) -> TrainingError:
    free = [name for name in schema.features if name not in wanted]
    proposed = {}
    for name in missing:
        close = difflib.get_close_matches(name, free, n=1, cutoff=0.4)
        proposed[name] = close[0] if close else "COLUMN"
    return TrainingError(
        f"{forward.network}.forward takes {', '.join(map(repr, missing))}, which "
        f"{'is' if len(missing) == 1 else 'are'} no feature of the data. Name the columns in config.yaml:\n"
        f"{_proposal(proposed)}\nFeatures: {listed(schema)}. A list makes one matrix of several columns."
    )


def _proposal(inputs: Iterable[str] | Mapping[str, str]) -> str:
    lines = inputs.items() if isinstance(inputs, dict) else ((name, name) for name in inputs)
    shown = (f"    {name}: {column if isinstance(column, str) else name}" for name, column in lines)
    return "\n".join(["model:", "  inputs:", *shown])
