"""Make ``purchases.parquet`` from the CDNOW file that ships inside PyPI's package lifetimes 0.11.3.

Run once, by hand; the result is kept in the repository::

    pip download --no-deps lifetimes==0.11.3 --dest /tmp/lifetimes
    python examples/repurchase/make_data.py /tmp/lifetimes/*.whl
"""

import io
import sys
import zipfile
from pathlib import Path

import pandas as pd

MEMBER = "lifetimes/datasets/CDNOW_master.txt"
TARGET = Path(__file__).parent / "data" / "purchases.parquet"


def main(wheel: str) -> None:
    """Read the text file out of `wheel` and write it as Parquet, one row a purchase."""
    text = zipfile.ZipFile(wheel).read(MEMBER)
    purchases = pd.read_csv(
        io.BytesIO(text), sep=r"\s+", skiprows=1, names=["user_id", "date", "quantity", "amount"]
    )
    purchases["date"] = pd.to_datetime(purchases["date"], format="%Y%m%d")
    assert (len(purchases), purchases["user_id"].nunique()) == (69_659, 23_570)
    TARGET.parent.mkdir(exist_ok=True)
    purchases.to_parquet(TARGET, index=False, compression="zstd")
    print(f"{len(purchases)} purchases -> {TARGET}")


if __name__ == "__main__":
    main(sys.argv[1])
