"""From purchases to one row for each customer: seven features and the label.

The features come from the buy-till-you-die literature (Fader, Hardie, Lee 2005, "Counting Your Customers"
the Easy Way), counted in days with a purchase, not in orders.
"""

import pandas as pd

#: Features are computed from purchases up to and including this day.
CUTOFF = pd.Timestamp("1997-09-30")
#: The label covers this many days after the cutoff.
HORIZON_DAYS = 273


def customers(purchases: pd.DataFrame, cutoff: pd.Timestamp = CUTOFF) -> pd.DataFrame:
    """One row for each customer with a purchase by `cutoff`, in the order of ``user_id``.

    Args:
        purchases: One row a purchase: user_id, date, quantity (CDs), amount (US dollars).
        cutoff: Last day whose purchases count for the features.

    Returns:
        user_id; frequency (days with a purchase after the first); recency_days (first to last purchase);
        tenure_days (first purchase to cutoff); mean_amount (dollars per day with a purchase);
        total_amount (dollars); quantity (CDs); days_since_last; repurchased (1 when there is a purchase
        in the HORIZON_DAYS after `cutoff`).
    """
    rows = customer_features(purchases, cutoff)
    return rows.assign(repurchased=_repurchased(purchases, rows["user_id"], cutoff))


def labels(purchases: pd.DataFrame, cutoff: pd.Timestamp = CUTOFF) -> pd.DataFrame:
    """The same rows as `customers`, without features: user_id, event_timestamp (the cutoff), repurchased."""
    users = customer_features(purchases, cutoff)["user_id"]
    return pd.DataFrame(
        {
            "user_id": users,
            "event_timestamp": cutoff.tz_localize("UTC"),
            "repurchased": _repurchased(purchases, users, cutoff),
        }
    )


def customer_features(purchases: pd.DataFrame, cutoff: pd.Timestamp = CUTOFF) -> pd.DataFrame:
    """`customers` without the label."""
    purchases = purchases.assign(date=pd.to_datetime(purchases["date"]))  # text in a CSV file
    known = purchases[purchases["date"] <= cutoff]
    days = known.groupby(["user_id", "date"], as_index=False)[["amount", "quantity"]].sum()
    by_customer = days.groupby("user_id")
    first, last = by_customer["date"].min(), by_customer["date"].max()
    rows = pd.DataFrame(
        {
            "frequency": by_customer.size() - 1,
            "recency_days": (last - first).dt.days,
            "tenure_days": (cutoff - first).dt.days,
            "mean_amount": by_customer["amount"].mean(),
            "total_amount": by_customer["amount"].sum(),
            "quantity": by_customer["quantity"].sum(),
            "days_since_last": (cutoff - last).dt.days,
        }
    )
    return rows.reset_index()


def _repurchased(purchases: pd.DataFrame, users: pd.Series, cutoff: pd.Timestamp) -> pd.Series:
    horizon = cutoff + pd.Timedelta(days=HORIZON_DAYS)
    dates = pd.to_datetime(purchases["date"])
    return users.isin(purchases["user_id"][(dates > cutoff) & (dates <= horizon)]).astype("int64")
