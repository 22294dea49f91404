"""A version made again: after the project moved on, with changed data, in another environment, from recorded LLM calls."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from typer.testing import CliRunner

from mlops_lib import config, loaders, registry, wrappers
from mlops_lib.cli.app import app
from mlops_lib.cli.reproduce import _parsed
from mlops_lib.data_checks import declared
from mlops_lib.errors import ConfigError, ReproductionError
from mlops_lib.lineage import reproduce
from mlops_lib.lineage.compare import Comparison
from mlops_lib.lineage.stored import Stored
from mlops_lib.settings import Settings
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from tests.support.explained import changed
from tests.support.llm_fixtures import KEY, Vendor
from tests.support.projects import Project

OWN_MODEL = """
from sklearn.linear_model import LogisticRegression

class Own(LogisticRegression):
    def __init__(self, C=0.1):
        super().__init__(C=C)
"""


def git(root: Path, *arguments: str) -> str:
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    return subprocess.run(
        ["git", "-C", str(root), *who, *arguments], check=True, capture_output=True, text=True
    ).stdout


def usual() -> Settings:
    """Settings whose model is `usual`."""
    sections = {"data": {"source": "rows.csv", "label": "y"}, "evaluation": {"threshold": 0.5}}
    return Settings.model_validate({"root": Path(), "model": {"name": "usual"}, **sections})


def trained(settings: Settings, limit: int = 0) -> registry.ModelVersion:
    """Prepare, train, evaluate and register, as the four notebooks do."""
    declared.write(settings, loaders.from_settings(settings), loaders.prepared_folder(settings), limit)
    dataset = loaders.prepared(settings)
    model = wrappers.from_settings(settings)
    result = model.train(dataset, settings)
    model.evaluate(dataset, settings)
    return registry.register_run(settings, result.run_id)


@pytest.fixture
def reproduced(
    forked_steps: None, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """`mlops reproduce` in this process, its run with the fork server of the tests: exit status, output, errors."""
    passed_on = tuple(name for name in reproduce.NOT_PASSED_ON if name != FORK_SERVER_ENV)
    monkeypatch.setattr(reproduce, "NOT_PASSED_ON", passed_on)

    def reproduced(root: Path, *arguments: str) -> tuple[int, str, str]:
        monkeypatch.chdir(root)
        done = CliRunner().invoke(app, ["reproduce", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.stdout, f"{done.stderr}\n{capfd.readouterr().err}"

    return reproduced


@pytest.fixture(scope="module")
def moved_on(
    make_project: Callable[..., Project], blank_store: Path, tmp_path_factory: pytest.TempPathFactory
) -> Project:
    """A repository whose model was trained with uncommitted changes, and in which nothing is as it was then."""
    project = make_project(tmp_path_factory.mktemp("moved") / "project")
    root = project.root
    (root / ".mlops").mkdir()
    shutil.copy(blank_store, root / ".mlops/mlflow.db")
    (root / ".gitignore").write_text(".mlops/\n*.parquet\n__pycache__/\n")
    git(root, "init", "-q", "-b", "main")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "first")
    (root / "own_model.py").write_text(OWN_MODEL)  # Git does not know it
    project.configure(
        model={"name": "toy", "wrapper": "sklearn", "implementation": "own_model:Own", "params": {"C": 0.5}},
        train={"seed": 11},
        evaluation={"threshold": 0.5, "baselines": []},
    )
    trained(project.settings(), limit=300)
    (root / "own_model.py").unlink()
    shutil.rmtree(root / "examples")
    project.configure(model={"params": {"C": 9.0}}, train={"seed": 12}, data={"seed": 5})
    git(root, "commit", "-qam", "another model")
    (root / "notebooks/02_train.ipynb").write_text("not even a notebook")
    return project


NOISY_MODEL = """
import os
from sklearn.linear_model import LogisticRegression

class Noisy(LogisticRegression):
    def fit(self, X, y, sample_weight=None):
        super().fit(X, y, sample_weight)
        self.intercept_ = self.intercept_ + 1e-4 * (1 + int.from_bytes(os.urandom(2), "big") / 2**16)
        return self
"""


def snapshot(root: Path) -> dict[str, bytes]:
    """The files of a project, but for Git's own and caches."""
    parts = {".git", "__pycache__"}
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and not parts & set(path.relative_to(root).parts)
    }


@pytest.mark.slow
def test_a_version_is_made_again_after_the_project_moved_on(moved_on):
    """Module, settings, seed and notebook of that day; the project, its runs and its registry stay as they are.

    The command as a user types it; its run and the steps are new processes.
    """
    before, status = snapshot(moved_on.root), git(moved_on.root, "status", "--porcelain")
    others = {"DATA_SOURCE_PATH": "elsewhere.csv", "MLFLOW_EXPERIMENT_NAME": "mine"}
    done = moved_on.mlops("reproduce", "toy", "1", **others)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "toy version 1: identical" in done.stdout and "are identical" in done.stdout
    assert "and its uncommitted changes" in done.stderr
    assert f"Read in place: {moved_on.root}/purchases.parquet" in done.stderr
    assert f"Data: {moved_on.root}/purchases.parquet" in done.stderr
    assert snapshot(moved_on.root) == before and git(moved_on.root, "status", "--porcelain") == status
    assert len(git(moved_on.root, "worktree", "list").splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("artifacts/models/*/artifacts/MLmodel", "The model files of toy version 1 were altered: SHA-256"),
        (
            "artifacts/*/artifacts/evaluation/test/rows-*.parquet",
            "are not those that the verdict was made of",
        ),
        ("artifacts/*/artifacts/evaluation/test/gate-*.json", "was altered since the gate wrote it"),
        ("artifacts/*/artifacts/lineage/lock.txt", "lineage/lock.txt of run .* was altered"),
        ("artifacts/*/artifacts/lineage/code.diff", "lineage/code.diff of run .* was altered"),
    ],
)
def test_an_altered_version_is_refused_before_anything_runs(moved_on, monkeypatch, path, words):
    """One byte of what the result would be compared with, or made of."""
    monkeypatch.setattr(reproduce, "_run", lambda *_: pytest.fail("a pipeline ran"))
    settings = moved_on.settings()
    version = registry.Registry(settings).resolve("toy", version=1)
    (file,) = (moved_on.root / ".mlops").glob(path)
    with changed(file), pytest.raises(ReproductionError, match=words):
        reproduce.reproduce(settings, version, 0.001, lambda _: None)


@pytest.mark.slow
def test_changed_data_is_refused_before_training(moved_on, reproduced, monkeypatch, tmp_path):
    """Both fingerprints and the source are named, and no step after the first has run."""
    root = shutil.copytree(moved_on.root, tmp_path / "copy", symlinks=True)
    rows = pd.read_parquet(root / "purchases.parquet")
    rows.loc[0, "amount"] += 1.0
    rows.to_parquet(root / "purchases.parquet", index=False)
    manifest = json.loads(
        next((root / ".mlops/artifacts").glob("*/artifacts/lineage/manifest.json")).read_text()
    )
    monkeypatch.setenv("MLFLOW_MODEL_NAME", "toy")
    status, output, errors = reproduced(root, "1", "--config", "config.yaml")
    assert status == 4, output + errors
    assert f"the version was trained on {manifest['data']['fingerprint'][:12]}" in " ".join(errors.split())
    assert "purchases.parquet" in errors and "Not reproduced" in errors
    assert "train-model done" not in errors


def test_data_that_is_gone_is_named_where_it_was(tmp_path):
    """Before any step runs. Only loaders of files and databases are known to read paths."""
    top = tmp_path / "scratch/code"
    gone = {"loader": "local", "source": "../rows/all.csv"}
    with pytest.raises(ReproductionError, match=f"is gone: {tmp_path}/rows/all.csv. Restore it"):
        reproduce._source(gone, tmp_path / "project", top, top)
    for loader, source in (("team.loaders:Own", "table 3"), ("sql", "postgresql://h/d")):
        data = {"loader": loader, "source": source}
        assert reproduce._source(data, tmp_path / "project", top, top) == source


@pytest.mark.parametrize("prefix", ["", "sqlite:///"])
def test_data_outside_the_project_is_read_where_it_is(tmp_path, prefix):
    """A path such as ../rows.csv leads elsewhere from the folder of the version's code."""
    project, top = tmp_path / "team/project", tmp_path / "scratch/code"
    for file in (tmp_path / "rows.csv", tmp_path / "team/rows.csv", top / "rows.csv"):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()

    def source(name: str, code: Path) -> str:
        return reproduce._source({"loader": "local", "source": prefix + name}, project, code, top)

    assert source("../rows.csv", top) == f"{prefix}{tmp_path}/team/rows.csv"
    assert source("../../rows.csv", top) == f"{prefix}{tmp_path}/rows.csv"  # scratch has one beside it
    assert source(f"{tmp_path}/rows.csv", top) == f"{prefix}{tmp_path}/rows.csv"
    assert source("../rows.csv", top / "project") == f"{prefix}../rows.csv"  # the commit has it


def test_a_reproduction_reports_to_nobody(tmp_path):
    """Its stores are its own, and the catalogue of the team gets no events."""
    (tmp_path / "config.yaml").write_text(
        "data: {source: a.csv}\nmlflow: {tracking_uri: 'http://team'}\nevaluation: {}\n"
        "pipeline: {openlineage_url: 'http://catalogue'}\n"
    )
    made = reproduce._configuration(Stored({"data": {}}, tmp_path), tmp_path)
    assert "http:" not in str(made) and made["mlflow"]["tracking_uri"] == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize(
    ("arguments", "name", "which"),
    [
        (["3"], "usual", {"version": 3}),
        (["v3"], "usual", {"version": 3}),
        (["toy", "3"], "toy", {"version": 3}),
        (["models:/toy/3"], "toy", {"version": 3, "alias": "", "stage": "Production"}),
        (["models:/toy@production"], "toy", {"version": 0, "alias": "production", "stage": "Production"}),
        (["models:/toy/staging"], "toy", {"version": 0, "alias": "", "stage": "Staging"}),
    ],
)
def test_a_version_has_several_names(arguments, name, which):
    """A number of the usual model, a name and a number, an address."""
    assert _parsed(arguments, usual()) == (name, which)


@pytest.mark.slow
def test_a_training_that_nothing_repeats_is_within_a_tolerance_or_different(
    make_project, blank_store, reproduced, tmp_path
):
    """A model with random numbers of the operating system: the tolerance is above their size, or below."""
    project = make_project(tmp_path / "project")
    root = project.root
    (root / ".mlops").mkdir()
    shutil.copy(blank_store, root / ".mlops/mlflow.db")
    (root / "noisy_model.py").write_text(NOISY_MODEL)
    project.configure(
        model={"name": "toy", "wrapper": "sklearn", "implementation": "noisy_model:Noisy", "params": {}},
        evaluation={"threshold": 0.5, "baselines": []},
    )
    version = trained(project.settings(), limit=300)
    status, output, errors = reproduced(root, "1", "--keep")
    assert status == 3, output + errors
    assert "toy version 1: within tolerance" in output and "(tolerance 0.001)" in output
    kept = Path(re.search(r"Kept: (\S+)", errors)[1])
    try:
        recorded = reproduce._recorded(version, tmp_path)
        found = reproduce._compared(version, recorded, "roc_auc", kept, 1e-9, [])
    finally:
        shutil.rmtree(kept)
    assert found.comparison.outcome == "different" and found.comparison.largest > 1e-9


@pytest.mark.parametrize(
    ("outcome", "status"), [("identical", 0), ("within tolerance", 3), ("different", 4), ("", 4)]
)
def test_each_outcome_has_an_exit_status(stored, monkeypatch, outcome, status):
    """As docs/lineage.md lists them; "": the version cannot be made again, which is printed with its reason."""

    def made(*_):
        if not outcome:
            raise ReproductionError("The data of the version is gone: rows.csv.")
        return reproduce.Reproduction(
            Comparison(outcome, "2 of 9 differ", "all 3 are identical"), (0.5, None), []
        )

    monkeypatch.setattr(reproduce, "reproduce", made)
    monkeypatch.setattr(
        registry.Registry, "resolve", lambda *_, **which: SimpleNamespace(name="toy", version=3, run_id="r")
    )
    done = CliRunner().invoke(app, ["reproduce", "3", "-c", str(stored.config_file)])
    assert done.exit_code == status, done.output
    assert (
        f"toy version 3: {outcome}" if outcome else "Not reproduced: The data of the version is gone"
    ) in done.output


@pytest.mark.parametrize(
    "arguments", [["toy"], ["0"], ["-1"], ["toy", "latest"], ["a", "b", "3"], ["runs:/abc/model"]]
)
def test_an_argument_that_names_no_version_is_an_error(arguments):
    """The error has the forms that a version may be given in."""
    with pytest.raises(ConfigError, match="Give a version: mlops reproduce 3, or mlops reproduce NAME 3"):
        _parsed(arguments, usual())


@pytest.mark.slow
def test_an_llm_version_is_made_again_from_its_recorded_calls(
    vendor: Vendor,
    llm_project: Callable[..., Path],
    reproduced: Callable[..., tuple[int, str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a key, and without a call to the vendor; a changed prompt of today does not matter."""
    file = llm_project(rows=10)
    root = file.parent
    for name in ("01_get_data", "02_train", "03_evaluate", "04_register"):
        (root / "notebooks").mkdir(exist_ok=True)
        shutil.copy(Path(__file__).parents[2] / "notebooks" / f"{name}.ipynb", root / "notebooks")
    settings = config.load(file)
    trained(settings)
    (root / "prompts.yaml").write_text("user: 'Say: {{question}}'\n")
    vendor.control()
    monkeypatch.delenv("OPENAI_API_KEY")
    status, output, errors = reproduced(root, "1")
    assert status == 0, output + errors
    assert "10 of 10 are identical" in output and KEY not in output + errors
    assert vendor.stats["calls"] == 0
    assert "Code: the" in errors, "outside a repository, the archive has the code"
