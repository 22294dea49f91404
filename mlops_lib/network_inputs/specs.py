"""The `InputSpec` of each input, once the encoder is fitted."""

import math
import typing
from pathlib import Path

from mlops_lib.columns.encode import Encoder
from mlops_lib.columns.images import pillow
from mlops_lib.columns.schema import Column, Schema
from mlops_lib.errors import TrainingError
from mlops_lib.network_inputs.spec import Form, InputSpec
from mlops_lib.network_inputs.tokens import Tokens
from mlops_lib.settings.model import InputSettings


def spec_of(name: str, wanted: InputSettings, schema: Schema, encoder: Encoder, root: Path) -> InputSpec:
    """The spec of an input.

    Args:
        wanted: Of `wanted.complete`.
        encoder: Fitted on the columns that are numbers or become numbers.
        root: The project's folder, for the file of a tokenizer.

    Raises:
        TrainingError: The shape does not fit the column, images differ in size, or the tokenizer cannot be made.
    """
    columns, form = tuple(wanted.columns), typing.cast(Form, wanted.form)
    if form == "sequence":
        shape: tuple[int | None, ...] = (wanted.length or None, *schema.features[columns[0]].shape[1:])
        return InputSpec(name, columns, form, wanted.dtype, shape, length=wanted.length)
    if form == "image":
        return _image(name, wanted, schema.features[columns[0]])
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


def beside(name: str, sequence: InputSpec) -> InputSpec:
    """The spec of the lengths or the mask of a sequence."""
    if name.endswith("_mask"):
        return InputSpec(name, sequence.columns, "mask", "bool", sequence.shape[:1], of=sequence.name)
    return InputSpec(name, sequence.columns, "lengths", "int64", of=sequence.name)


def _image(name: str, wanted: InputSettings, column: Column) -> InputSpec:
    shape = tuple(wanted.shape or column.shape)
    if not wanted.shape and (len(shape) != 3 or -1 in shape):
        raise TrainingError(
            f"Column {column.name!r} holds {column.reason}, and a network takes images of one size. Set it in config.yaml, as "
            f"[channels, height, width]:\nmodel:\n  inputs:\n    {name}: {{column: {column.name}, shape: [3, 224, 224]}}\n"
            "resize says how images get it: squash (the default), crop or pad."
        )
    if len(shape) != 3 or shape[0] not in (1, 3) or min(shape) < 1:
        raise TrainingError(
            f"model.inputs.{name} has the shape {list(shape)}, and that of images is [3, height, width], or [1, height, width] "
            "for grey ones."
        )
    for option in ("mean", "std"):
        values = getattr(wanted, option)
        if values and len(values) != shape[0]:
            raise TrainingError(
                f"model.inputs.{name} has {len(values)} numbers in {option}, and its images {shape[0]} channels."
            )
        if values and wanted.dtype == "uint8":
            raise TrainingError(f"model.inputs.{name} has dtype uint8 and {option}. Take one of them out.")
    if not all(value > 0 for value in wanted.std):
        raise TrainingError(
            f"model.inputs.{name} has std {wanted.std}, and images are divided by it: it must be above 0."
        )
    if column.nullable:
        raise TrainingError(
            f"Column {column.name!r} lacks an image in some rows, and a network needs one in each. Leave these rows out in "
            "data.prepare."
        )
    try:
        pillow()
    except ImportError as error:
        raise TrainingError(str(error)) from None
    return InputSpec(
        name, (column.name,), "image", wanted.dtype, shape, mean=tuple(wanted.mean), std=tuple(wanted.std),
        resize=wanted.resize or "squash", draft=1,
    )  # fmt: skip


def _tokens(name: str, wanted: InputSettings, column: Column, root: Path) -> InputSpec:
    try:
        codes = Tokens(column, wanted.tokenizer, wanted.length, root).codes
    except ImportError as error:
        raise TrainingError(
            f"The tokenizer {wanted.tokenizer!r} of model.inputs.{name} cannot be imported: {error}. A file needs: pip install "
            "'mlops-lib[text]'."
        ) from error
    except Exception as error:  # a user's code may raise anything
        raise TrainingError(
            f"The tokenizer {wanted.tokenizer!r} of model.inputs.{name} cannot be made: {type(error).__name__}: {error}."
        ) from error
    return InputSpec(
        name, (column.name,), "tokens", wanted.dtype, (wanted.length or None,), codes, wanted.length,
        tokenizer=wanted.tokenizer,
    )  # fmt: skip
