"""A new loader is one file and one line."""

from mlops_lib import loaders

LOADER = """
import pandas as pd
from mlops_lib.loaders.base import BaseDataLoader, Schema

class CountingLoader(BaseDataLoader):
    schema = Schema.of({"number": "integer"}, label="odd")

    def __init__(self, rows):
        self.rows = rows

    @classmethod
    def from_settings(cls, settings):
        return cls(int(settings.data.source))

    def load(self, split):
        numbers = range(self.rows)
        return pd.DataFrame({"number": numbers, "odd": [number % 2 for number in numbers]})

    def fingerprint(self):
        return f"{self.rows:064x}"
"""


def test_a_toy_loader_prepares_a_dataset(stored, extend):
    """Named in config.yaml, it gives the rows that 01_get_data writes and the other notebooks read."""
    extend("loader", "counting", "CountingLoader", LOADER)
    stored.configure(data={"loader": "counting", "source": "7", "label": "odd", "key": ""})
    settings = stored.settings()
    folder = loaders.prepared_folder(settings)
    assert loaders.from_settings(settings).write(folder) == {"train": 7, "validation": 7, "test": 7}
    assert loaders.prepared(settings).load("test")["odd"].tolist() == [0, 1, 0, 1, 0, 1, 0]
