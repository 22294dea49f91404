"""A new feature provider is one file and one line."""

from mlops_lib import features, loaders

PROVIDER = """
import pandas as pd
from mlops_lib.features import FeatureProvider, FeatureService, OnlineRow

class SquareProvider(FeatureProvider):
    '''One feature of each user: the square of the id.'''

    @classmethod
    def from_settings(cls, settings):
        return cls()

    def describe(self, service):
        return FeatureService(service, {"user_id": "int64"}, {"square": "int64"}, {"square": None})

    def historical(self, service, rows, timestamp):
        return pd.DataFrame({"square": rows["user_id"] ** 2})

    def online(self, service, keys):
        return [OnlineRow({"square": key["user_id"] ** 2}) for key in keys]
"""


def test_a_toy_provider_gives_training_rows_and_lookups(stored, extend):
    """The feature_store loader joins its features, and the service's lookup finds the same values."""
    extend("features", "square", "SquareProvider", PROVIDER)
    stored.configure(
        data={
            "loader": "feature_store",
            "feature_store": {
                "provider": "square",
                "service": "squares",
                "labels": "examples.repurchase.features:labels",
            },
        }
    )
    settings = stored.settings()
    rows = loaders.from_settings(settings).load("test").head(3)
    provider = features.from_settings(settings)
    found = provider.online(provider.describe("squares"), rows[["user_id"]].to_dict("records"))
    assert rows["square"].tolist() == [row.values["square"] for row in found]
