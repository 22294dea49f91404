"""`prepare` functions as a user would write them; each test project has a copy and names them by dotted path."""

import numpy as np
import pandas as pd

from examples.repurchase.features import customers
from tests.support.pictures import encoded, noise


def with_segment(purchases: pd.DataFrame) -> pd.DataFrame:
    """The example's features and one of text."""
    rows = customers(purchases)
    return rows.assign(segment=np.where(rows["total_amount"] > 50, "big", "small"))


def with_photo(purchases: pd.DataFrame) -> pd.DataFrame:
    """The example's features and an image, whose file is larger than an error should be."""
    file = encoded(noise(np.random.default_rng(0), 40, 40))
    return customers(purchases).assign(photo=file)


def with_tier(purchases: pd.DataFrame) -> pd.DataFrame:
    """A label of three texts, which the amounts tell."""
    rows = customers(purchases).drop(columns="repurchased")
    tiers = pd.cut(rows["total_amount"], [-1, 20, 60, 1e9], labels=["small", "medium", "large"])
    return rows.assign(tier=tiers.astype(str))


def first_total(purchases: pd.DataFrame) -> pd.DataFrame:
    """A regression: the amount of a customer's whole year, from the first purchases."""
    rows = customers(purchases).drop(columns=["repurchased", "total_amount"])
    return rows.assign(
        year_amount=purchases.groupby("user_id")["amount"].sum().reindex(rows["user_id"]).to_numpy()
    )


def returns_nothing(purchases: pd.DataFrame) -> None:
    """Returns nothing, as when the return was forgotten."""
    purchases.dropna()
