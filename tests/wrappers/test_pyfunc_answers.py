"""The answers of a pyfunc as one prediction a row."""

import pandas as pd
import pytest

from mlops_lib.errors import ModelError
from mlops_lib.wrappers.pyfunc.answers import by_row


def test_columns_of_a_frame_are_names_of_a_dict():
    """One column is an array."""
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    assert by_row(frame) == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
    assert by_row(frame[["a"]]).tolist() == [1, 2]


def test_two_columns_of_one_name_are_an_error():
    """A dict would have one of them."""
    with pytest.raises(ModelError, match="several columns with the name 'a'"):
        by_row(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]))
