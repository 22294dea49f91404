"""Fixtures: `mlops init` in this process, in an empty folder, and a table of customers."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from mlops_lib.cli import app
from mlops_lib.errors import MlopsError

Init = Callable[..., tuple[int, str]]


@pytest.fixture
def init(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Init:
    """Run `mlops init mine` with options: the exit status and all that was printed, an error included."""
    monkeypatch.chdir(tmp_path)

    def run(*options: str, folder: str = "mine") -> tuple[int, str]:
        found = CliRunner().invoke(app.app, ["init", folder, *options], env={"COLUMNS": "200"})
        if found.exception and not isinstance(found.exception, SystemExit):
            assert isinstance(found.exception, MlopsError), found.exception
            return found.exit_code, f"{found.output}{found.exception}"
        return found.exit_code, found.output

    return run


@pytest.fixture
def written(tmp_path: Path) -> Callable[[], dict]:
    """The content of the config.yaml that was written."""
    return lambda: yaml.safe_load((tmp_path / "mine/config.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def customers() -> pd.DataFrame:
    """400 customers with text, a date, a gap and a label Yes/No that depends on two columns."""
    random = np.random.default_rng(0)
    months = random.integers(1, 72, 400)
    contract = random.choice(["Month-to-month", "One year", "Two year"], 400)
    risk = 1 / (1 + np.exp(months / 12 - 2 * (contract == "Month-to-month")))
    charges = random.uniform(20, 120, 400).round(2)
    return pd.DataFrame(
        {
            "customerID": [f"{i:04}-ABCD" for i in range(400)],
            "tenure": months,
            "Contract": contract,
            "TotalCharges": np.where(months > 1, (charges * months).round(2), np.nan),
            "signup": (pd.Timestamp("2026-01-01") - pd.to_timedelta(months * 30, "D")).strftime("%Y-%m-%d"),
            "Churn": np.where(random.random(400) < risk, "Yes", "No"),
        }
    )
