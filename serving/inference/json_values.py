"""Values of models, examples and graphs as JSON."""

from datetime import datetime
from typing import Any

import msgspec
import numpy as np


def plain(value: Any) -> Any:
    """Values for a type that JSON does not have: of numpy's arrays and scalars, of pydantic's models;
    else its text. A missing time of pandas is None, as NumPy's is."""
    if hasattr(value, "tolist"):
        made = value.tolist()
        if type(made) is not type(value):
            return made
        # Of 80 bits, which Python does not have.
        return float(value) if isinstance(value, np.floating) else str(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    text = str(value)
    return None if text == "NaT" and isinstance(value, datetime) else text


#: JSON as bytes; NaN becomes null.
encode_json = msgspec.json.Encoder(enc_hook=plain).encode


def builtins(value: Any) -> Any:
    """A value of a model with the types of JSON, and bytes."""
    return msgspec.to_builtins(value, builtin_types=(bytes,), enc_hook=plain)


def as_sent(row: Any) -> Any:
    """A row of a table as a caller would send it: missing values are None."""
    import pandas as pd

    if isinstance(row, dict):
        row = {
            name: None if pd.api.types.is_scalar(value) and pd.isna(value) else value
            for name, value in row.items()
        }
    return msgspec.to_builtins(row, enc_hook=plain)
