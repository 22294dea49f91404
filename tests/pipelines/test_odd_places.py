"""`mlops run` of a project whose folder and temporary folder have odd names, on rows whose metric has no value."""

import re
from pathlib import Path

import pandas as pd
import pytest

pytestmark = pytest.mark.slow


def test_a_metric_without_a_value_is_refused_in_a_folder_of_any_name(make_project, tmp_path):
    """All test targets are equal, so R2 has no value: the reason, exit status 3, and a record that opens."""
    temporary = tmp_path / "t%20mp 1%"
    temporary.mkdir()
    project = make_project(
        tmp_path / "My 100%25 Project" / "josé 프로젝트",
        data={"source": "splits", "prepare": "", "label": "y", "key": "", "checks": {}},
        model={"wrapper": "sklearn", "implementation": "sklearn.linear_model:Ridge", "params": {}},
        evaluation={"task": "regression", "metric": "r2", "threshold": 0.5, "baselines": ["mean", "ridge"]},
    )
    (project.root / "splits").mkdir()
    for split, slope in (("train", 2), ("validation", 2), ("test", 0)):
        frame = pd.DataFrame({"x": [float(i % 40) for i in range(120)]})
        frame.assign(y=frame["x"] * slope + 3).to_csv(project.root / "splits" / f"{split}.csv", index=False)
    result = project.mlops("run", TMPDIR=str(temporary))
    assert result.returncode == 3, result.stderr
    assert "r2 has no value: all 120 true values are 3" in result.stdout and "not registered" in result.stdout
    log = next(project.root.rglob("pipeline.log")).read_text()
    records = [Path(path) for path in re.findall(r"The record of \w+: (.*)", log)]
    assert len(records) == 3 and all("html" in path.read_text() for path in records)
    again = project.mlops("run", TMPDIR=str(temporary))
    assert again.returncode == 3 and "r2 has no value" in again.stdout and "miss" not in again.stderr
