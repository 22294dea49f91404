"""Fit the encoder of a schema on the rows of the train split."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlops_lib.columns.encode import Encoder, _moment
from mlops_lib.columns.schema import Schema
from mlops_lib.columns.text import text_of

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


def fit(schema: Schema, parts: "Iterable[pd.DataFrame]") -> Encoder:
    """The encoder for the features of `schema`.

    Args:
        schema: From the train split.
        parts: The rows of the train split, at once or part by part.
    """
    if schema.is_plain:
        return Encoder(schema, {})
    texts: dict[str, dict[str, int]] = {n: {} for n, c in schema.features.items() if c.kind == "category"}
    firsts: dict[str, float] = {}
    for rows in parts:
        for name, counts in texts.items():
            for value, count in rows[name].value_counts().items():
                text = text_of(value)
                counts[text] = counts.get(text, 0) + int(count)
        for name, column in schema.features.items():
            if column.kind == "datetime" and len(known := rows[name].dropna()):
                moment = _moment(0, name, known.min())
                seconds = (moment - moment.__class__(1970, 1, 1)).total_seconds()
                firsts[name] = min(seconds, firsts.get(name, seconds))
    found: dict[str, dict[str, Any]] = {n: {"values": sorted(counts)} for n, counts in texts.items()}
    found |= {name: {"first_s": seconds} for name, seconds in firsts.items()}
    found |= {n: {"width": c.width} for n, c in schema.features.items() if c.kind == "array"}
    return Encoder(schema, found)


def encode_frame(encoder: Encoder, frame: "pd.DataFrame") -> "np.ndarray":
    """The matrix of a DataFrame that has the encoder's columns; float64 [rows, outputs]."""
    columns: Mapping[str, Any] = {
        name: frame[name].to_numpy() if frame[name].dtype.kind in "biuf" else frame[name].tolist()
        for name in encoder.schema.features
    }
    return encoder.encode_columns(columns, len(frame))
