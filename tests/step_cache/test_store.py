"""The step cache: each kind of change misses exactly the steps that it affects."""

import json
import shutil
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import nbformat
import pytest
from mlflow.exceptions import MlflowException

from mlops_lib import config, loaders, registry, tracking
from mlops_lib.step_cache import dataset, key, store
from mlops_lib.step_cache.mode import StepCacheMode
from mlops_lib.step_cache.store import CachedStep, Lookup
from mlops_lib.steps import events
from mlops_lib.steps.contracts import RegisterOutputs
from mlops_lib.steps.table import STEPS as TABLE
from mlops_lib.steps.table import step_of
from pipelines import cached_run, local
from tests.support.promoting import promote

STEPS = tuple(step.notebook for step in TABLE)
USE, RESUME, OFF = StepCacheMode(lookup=True), StepCacheMode(resume=True), StepCacheMode()


class Steps:
    """The four steps of one run, as the cache sees them."""

    def __init__(self, trained, parent_run_id="first"):
        self.project, self.trained, self.parent_run_id = trained.project, trained, parent_run_id

    def of(self, notebook):
        given = {"parent_run_id": self.parent_run_id, "run_id": self.trained.run_id}
        return cached_step(self.project.settings(), notebook, **given)

    def keep_all(self):
        fingerprint = loaders.prepared(self.project.settings()).fingerprint()
        rows = {"train_rows": 1, "validation_rows": 1, "test_rows": 1}
        made = (
            {**rows, "fingerprint": fingerprint, "parent_run_id": self.parent_run_id},
            {"run_id": self.trained.run_id, "model_uri": "models:/m"},
            {"score": 0.7, "threshold": 0.6, "passed": True},
            {"model_name": "repurchase", "version": self.trained.version, "stage": "Staging"},
        )
        for notebook, outputs in zip(STEPS, made, strict=True):
            self.finish(notebook, step_of(notebook).outputs.model_validate(outputs))

    def finish(self, notebook, outputs):
        """Store the outputs of a step and note in the run that it has finished."""
        folder = events.run_folder(self.project.settings(), self.parent_run_id)
        events.create(folder)
        entry = self.of(notebook).store(outputs)
        finished = {"step": step_of(notebook).name, "outputs": outputs.model_dump(), "entry": entry}
        events.write(folder, events.Finished(**finished))

    def reasons(self, mode=USE):
        """Notebook -> why it must run, for the steps that must."""
        found = {notebook: self.of(notebook).lookup(mode) for notebook in STEPS}
        return {notebook: answer.reason for notebook, answer in found.items() if answer.outputs is None}


def cached_step(settings, notebook, **given):
    """A step of a run, with those of the given parameters that it takes."""
    step = step_of(notebook)
    return CachedStep(settings, step, step.given(given))


@pytest.fixture
def steps(trained_copy):
    """A finished pipeline run whose steps are cached; its models are where the original's are."""
    settings = trained_copy.project.settings()
    tracking.connect(settings)
    steps = Steps(trained_copy)
    steps.keep_all()
    return steps


def edit_notebook(project, name):
    file = project.root / "notebooks" / f"{name}.ipynb"
    notebook = nbformat.read(file, as_version=4)
    notebook.cells[0].source += "\n\nOne more line."
    nbformat.write(notebook, file)


def test_nothing_changed_means_that_nothing_runs(steps):
    """All four steps of an unchanged project are hits, with the outputs that they had."""
    assert steps.reasons() == {}
    assert steps.of("02_train").lookup(USE).outputs.run_id == steps.trained.run_id


@pytest.mark.parametrize("name", STEPS)
def test_an_edited_notebook_misses_its_step_alone(steps, name):
    """The notebook's bytes are part of its step's key, and of no other."""
    edit_notebook(steps.project, name)
    assert steps.reasons() == {name: "because the notebook changed"}


@pytest.mark.parametrize(
    ("section", "change", "missed"),
    [
        ("train", {"max_epochs": 4}, ["02_train"]),
        ("model", {"params": {"hidden": [8]}}, ["02_train"]),
        ("evaluation", {"threshold": 0.61}, ["03_evaluate", "04_register"]),
        ("data", {"seed": 7}, ["01_get_data"]),
        ("data", {"features": ["recency_days", "frequency"]}, ["01_get_data", "02_train", "03_evaluate"]),
        ("model", {"name": "other"}, ["02_train", "04_register"]),
        ("mlflow", {"experiment": "other"}, list(STEPS)),
        ("serving", {"port": 9999}, []),
        ("pipeline", {"cell_timeout_s": 60}, []),
        ("cluster", {"memory": "8Gi"}, []),
        ("evaluation", {"concurrency": 2}, ["03_evaluate"]),
        ("evaluation", {"max_calls": 7}, ["03_evaluate"]),
        ("evaluation", {"baselines": []}, ["03_evaluate"]),
        ("llm", {"timeout_s": 9.0}, ["02_train", "03_evaluate"]),
    ],
)
def test_a_setting_misses_the_steps_that_read_it(steps, section, change, missed):
    """A step is told to run when a setting that it reads changed, and is told which one."""
    steps.project.configure(**{section: change})
    reasons = steps.reasons()
    assert sorted(reasons) == missed
    assert all(f"{section}.{next(iter(change))} changed" in reason for reason in reasons.values())


def test_changed_source_data_misses_get_data(steps, purchases_slice):
    """The content of the source counts, not its name or its age."""
    source = steps.project.root / "purchases.parquet"
    source.touch()
    assert steps.reasons() == {}
    purchases_slice.iloc[1:].to_parquet(source, index=False)
    assert steps.reasons() == {"01_get_data": "because data changed"}


def test_changed_prepared_data_misses_the_steps_that_learn_from_it(steps):
    """Train and evaluate look at the rows that they are given; get-data sees that its dataset is another one."""
    folder = loaders.prepared_folder(steps.project.settings())
    shutil.copy(folder / "test.parquet", folder / "train.parquet")
    reasons = steps.reasons()
    assert reasons["02_train"] == reasons["03_evaluate"] == "because data changed"
    assert "was changed" in reasons["01_get_data"] and len(reasons) == 3


@pytest.mark.slow
def test_code_of_the_users_own_is_part_of_the_key(steps):
    """The function that prepares the rows decides what get-data makes, so an edit of it counts."""
    root = steps.project.root
    (root / "own_code.py").write_text("from own_helper import customers\n")
    (root / "own_helper.py").write_text("from examples.repurchase.features import customers\n")
    steps.project.configure(data={"prepare": "own_code:customers"})
    steps.keep_all()
    key.digest_of_code.cache_clear()
    assert steps.reasons() == {}
    for name in ("own_helper.py", "own_code.py"):
        key.digest_of_code.cache_clear()
        with (root / name).open("a") as file:
            file.write("#\n")
        assert steps.reasons() == {"01_get_data": "because the code of data.prepare changed"}
        steps.keep_all()


@pytest.mark.slow
def test_a_data_file_that_the_users_code_reads_is_part_of_the_key(steps):
    """A table beside data.prepare decides what that makes, and travels with the model; one beside a data module is learned from."""
    root = steps.project.root
    (root / "rated.py").write_text(
        "from pathlib import Path\nfrom examples.repurchase.features import customers\n"
        "RATES = (Path(__file__).parent / 'rates.csv').read_text()\n"
    )
    (root / "rates.csv").write_text("won,0.8\n")
    for rows, missed in (("prepared", ["01_get_data"]), ("raw", ["01_get_data", "02_train"])):
        steps.project.configure(data={"prepare": "rated:customers", "served_rows": rows})
        steps.keep_all()
        assert steps.reasons() == {}
        with (root / "rates.csv").open("a") as file:
            file.write("won,0.9\n")
        assert sorted(steps.reasons()) == missed
        steps.keep_all()
        data = root / "examples" / "repurchase" / "data"  # modules beside that of the function read it
        data.mkdir(exist_ok=True)
        (data / "purchases.parquet").write_text(rows)
        assert steps.reasons() == {}
    (root / "batches.py").write_text(
        "from pathlib import Path\nWEIGHTS = (Path(__file__).parent / 'weights.csv').read_text()\n"
    )
    (root / "weights.csv").write_text("won,0.8\n")
    for setting, value in (("datamodule", 0.9), ("dataset", 0.7)):
        steps.project.configure(train={"datamodule": {}, "dataset": {}, setting: "batches:Batches"})
        steps.keep_all()
        assert steps.reasons() == {}
        (root / "weights.csv").write_text(f"won,{value}\n")
        assert list(steps.reasons()) == ["02_train"]


@pytest.mark.slow
def test_a_data_file_in_the_working_folder_is_part_of_the_key(steps):
    """A dataset that is prepared once may be made with it; beside it another file is read from the module's folder."""
    root = steps.project.root
    (root / "rated_here.py").write_text(
        "from pathlib import Path\nfrom examples.repurchase.features import customers\n"
        "def rates():\n"
        "    return open('working_rates.csv').read(), (Path(__file__).parent / 'own_rates.csv').read_text()\n"
    )
    for name in ("working_rates.csv", "own_rates.csv"):
        (root / name).write_text("won,0.8\n")
    steps.project.configure(data={"prepare": "rated_here:customers"})
    for name in ("working_rates.csv", "own_rates.csv"):
        steps.keep_all()
        assert steps.reasons() == {}
        (root / name).write_text("won,0.9\n")
        assert steps.reasons() == {"01_get_data": "because the code of data.prepare changed"}


def test_what_lies_beside_the_users_code_is_no_part_of_it(steps):
    """In a project's root, runs change the work folder and artifacts, and notes, data and environments are no code."""
    root = steps.project.root
    (root / "lone_code.py").write_text("from examples.repurchase.features import customers\n")
    steps.project.configure(
        data={"prepare": "lone_code:customers"},
        pipeline={"work_dir": "work"}, mlflow={"tracking_uri": "sqlite:///.mlops/mlflow.db"},
    )  # fmt: skip
    shutil.copytree(root / ".mlops" / "data", root / "work" / "data")
    steps.keep_all()
    no_code = ("notes.md", "features/rows.json", "notebooks/out.ipynb", "venv/pyvenv.cfg", "venv/lib/six.py",
               "conda/lib/python3.11/six.py", ".hidden/x.py", "work/runs/new/x.py", "artifacts/1/models/m/x.py")  # fmt: skip
    for name in no_code:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    steps.project.configure(serving={"port": 9999})
    key.digest_of_code.cache_clear()
    assert steps.reasons() == {}


@pytest.mark.slow
def test_packages_beside_the_users_code_are_part_of_it(steps):
    """What a module beside config.yaml imports may lie in a folder there, with an __init__.py or without."""
    root = steps.project.root
    (root / "cleaning" / "deep").mkdir(parents=True)
    (root / "cleaning" / "deep" / "rows.py").write_text(
        "from examples.repurchase.features import customers\n"
    )
    (root / "cleaning" / "__init__.py").write_text("from cleaning.deep.rows import customers\n")
    (root / "importing.py").write_text("from cleaning import customers\n")
    steps.project.configure(data={"prepare": "importing:customers"})
    for name in ("__init__.py", "deep/rows.py"):
        steps.keep_all()
        with (root / "cleaning" / name).open("a") as file:
            file.write("#\n")
        key.digest_of_code.cache_clear()
        assert steps.reasons() == {"01_get_data": "because the code of data.prepare changed"}


def test_folders_beside_a_module_that_lies_elsewhere_are_no_part_of_it(steps, tmp_path, monkeypatch):
    """An installed module has every other package of the environment beside it: only the files there count."""
    elsewhere = tmp_path / "site-packages"
    (elsewhere / "other").mkdir(parents=True)
    (elsewhere / "installed.py").write_text("from examples.repurchase.features import customers\n")
    monkeypatch.syspath_prepend(elsewhere)
    steps.project.configure(data={"prepare": "installed:customers"})
    steps.keep_all()
    for name, missed in (("other/x.py", []), ("beside.py", ["01_get_data"])):
        (elsewhere / name).touch()
        key.digest_of_code.cache_clear()
        assert sorted(steps.reasons()) == missed


def test_a_folder_that_a_setting_names_counts_without_what_runs_leave_in_it(steps):
    """A graph's folder that holds an environment, hidden files and the work folder: only its own files are it."""
    graph = steps.project.root / "graph"
    steps.project.configure(
        model={"params": {"files": {"docs": "graph"}}},
        pipeline={"work_dir": "graph/work"}, mlflow={"tracking_uri": "sqlite:///.mlops/mlflow.db"},
    )  # fmt: skip
    shutil.copytree(steps.project.root / ".mlops" / "data", graph / "work" / "data")
    steps.keep_all()
    for name in ("venv/pyvenv.cfg", "venv/lib/six.py", ".hidden/x.py", "work/x.py"):
        (graph / name).parent.mkdir(parents=True, exist_ok=True)
        (graph / name).touch()
    key.digest_of_code.cache_clear()
    assert steps.reasons() == {}


def test_a_task_of_the_users_own_is_part_of_the_key(steps):
    """The class that judges decides the score, so an edit of it is judged by again."""
    package = steps.project.root / "judges"
    package.mkdir()
    (package / "__init__.py").touch()
    task = package / "judging.py"
    task.write_text("from mlops_lib.evaluation.tasks.classification import Classification\n")
    steps.project.configure(evaluation={"task": "judges.judging:Classification"})
    steps.keep_all()
    key.digest_of_code.cache_clear()
    assert steps.reasons() == {}
    key.digest_of_code.cache_clear()
    task.write_text("from mlops_lib.evaluation.tasks.classification import Classification  #\n")
    assert steps.reasons() == {"03_evaluate": "because the code of evaluation.task changed"}


def test_files_that_a_model_is_made_of_are_part_of_the_key(steps):
    """A graph's folder and its prompts: a changed prompt is another model."""
    prompt = steps.project.root / "graph" / "prompts.yaml"
    prompt.parent.mkdir()
    prompt.write_text("answer: shortly")
    steps.project.configure(model={"params": {"files": {"docs": "graph"}}})
    steps.keep_all()
    assert steps.reasons() == {}
    key.digest_of_code.cache_clear()
    prompt.write_text("answer: at length")
    assert steps.reasons() == {"02_train": "because the code of model.params changed"}


@pytest.mark.slow
def test_another_library_misses_every_step(steps, monkeypatch, tmp_path):
    """One changed byte in any module of the library is another library."""
    copy = tmp_path / "mlops_lib"
    shutil.copytree(Path(store.__file__).parents[1], copy)
    assert key.digest_of_code(copy) == key.digest_of_code(Path(store.__file__).parents[1])
    key.digest_of_code.cache_clear()
    with (copy / "loaders" / "local.py").open("a") as file:
        file.write("#")
    assert key.digest_of_code(copy) != key.digest_of_code(Path(store.__file__).parents[1])
    monkeypatch.setattr(key, "__version__", "999")
    assert steps.reasons() == dict.fromkeys(STEPS, "because the library changed")


def test_a_deleted_dataset_is_made_again(steps):
    """A cached dataset that does not exist any more is a miss."""
    shutil.rmtree(loaders.prepared_folder(steps.project.settings()))
    assert "is gone" in steps.of("01_get_data").lookup(USE).reason


def test_a_cached_dataset_is_put_where_the_new_run_wants_it(steps, tmp_path):
    """Each run has its own folder; the files in it are those of the run that made them."""
    wanted = tmp_path / "elsewhere" / "data"
    asked = cached_step(steps.project.settings(), "01_get_data", data=str(wanted), parent_run_id="second")
    outputs = asked.lookup(USE).outputs
    assert outputs.parent_run_id == "second"
    assert loaders.prepared(steps.project.settings(), wanted).fingerprint() == outputs.fingerprint


def test_a_step_that_only_reads_a_dataset_never_writes_one(steps, tmp_path):
    """A cached training in a new run must leave the folder alone from which the next step reads."""
    settings = steps.project.settings()
    wanted = tmp_path / "mine" / "data"
    shutil.copytree(loaders.prepared_folder(settings), wanted)
    before = {file.name: file.stat().st_ino for file in wanted.iterdir()}
    asked = cached_step(settings, "02_train", data=str(wanted), parent_run_id="second")
    assert asked.lookup(USE).outputs is not None
    assert {file.name: file.stat().st_ino for file in wanted.iterdir()} == before


def test_a_long_text_in_a_setting_is_no_path(steps):
    """A prompt among the parameters is longer than a file name may be; it counts as the text it is."""
    steps.project.configure(model={"params": {"prompt": "Answer in one sentence. " * 400}})
    assert steps.reasons() == {"02_train": "because model.params changed"}


def test_a_miss_is_explained_by_the_most_similar_run(steps):
    """The newest may be an experiment that nobody goes on with."""
    usual = steps.project.settings()
    outputs = steps.of("02_train").lookup(USE).outputs
    steps.project.configure(model={"params": {"prompt": "one"}}, train={"seed": 41})
    steps.of("02_train").store(outputs)
    steps.project.configure(model={"params": usual.model.params}, train={"seed": 42})
    assert steps.reasons() == {"02_train": "because train.seed changed"}


def test_a_deleted_run_is_trained_again(steps):
    """The cache asks MLflow whether the run still exists."""
    tracking.connect(steps.project.settings()).delete_run(steps.trained.run_id)
    assert "is gone" in steps.reasons()["02_train"]


def test_a_run_that_was_judged_otherwise_since_is_judged_again(steps):
    """The last verdict on the model's run counts; a cached one that differs must not register."""
    client = tracking.connect(steps.project.settings())
    client.set_tag(steps.trained.run_id, registry.GATE_TAG, "refused")
    assert "another verdict" in steps.reasons()["03_evaluate"]


def other_version(steps):
    """A second version of the model, of another run."""
    settings = steps.project.settings()
    client = tracking.connect(settings)
    with tracking.child_run(settings, "train-model", "", {}) as run:
        made = client.create_model_version("repurchase", str(steps.project.root), run.info.run_id)
    return int(made.version)


@pytest.mark.slow
@pytest.mark.parametrize("embedded", [True, False])
def test_a_verdict_against_another_champion_is_judged_again(steps, monkeypatch, embedded):
    """Another version is at Production by now, or none is; both ways to ask say so."""
    settings = steps.project.settings()
    version = other_version(steps)
    promote(settings, "repurchase", version)
    if not embedded:
        monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(sqlite3.Error))
    assert steps.reasons() == {"03_evaluate": f"because version {version} is at Production now"}
    run_id = registry.Registry(settings).resolve("repurchase", version=version).run_id
    client = tracking.connect(settings)
    client.set_tag(steps.trained.run_id, registry.CHAMPION_TAG, registry.champion_tag(version, run_id))
    assert steps.reasons() == {}
    registry.Registry(settings).promote("repurchase", version, "Archived")
    assert steps.reasons() == {"03_evaluate": "because no version is at Production now"}


@pytest.mark.slow
def test_a_model_that_was_promoted_since_is_not_judged_again(steps):
    """`mlops run` after `mlops promote`: nothing changed, and the version is at Production already."""
    promote(steps.project.settings(), "repurchase", steps.trained.version)
    assert steps.reasons() == {}
    assert steps.of("04_register").lookup(USE).outputs.stage == "Production"


@pytest.mark.slow
def test_the_champion_does_not_count_where_the_gate_does_not_compare(steps):
    """With evaluation.gate.champion: false."""
    steps.project.configure(evaluation={"gate": {"champion": False}})
    steps.keep_all()
    promote(steps.project.settings(), "repurchase", other_version(steps))
    assert steps.reasons() == {}


@pytest.mark.slow
def test_the_tokenizer_of_an_input_is_part_of_the_key(steps):
    """Its code and its file: other ids make another model."""
    code, file = steps.project.root / "own_tokens.py", steps.project.root / "tokenizer.json"
    code.write_text("def words(text): return [1]\n")
    file.write_text("{}")
    inputs = {
        "a": {"column": "a", "tokenizer": "own_tokens:words"},
        "b": {"column": "b", "tokenizer": file.name},
    }
    steps.project.configure(model={"inputs": inputs})
    for one, text in ((code, "def words(text): return [2]\n"), (file, "{ }")):
        key.digest_of_code.cache_clear()
        steps.keep_all()
        assert steps.reasons() == {}
        key.digest_of_code.cache_clear()
        one.write_text(text)
        assert steps.reasons() == {"02_train": "because the code of model.inputs changed"}


def test_the_code_of_a_slice_is_part_of_the_key(steps):
    """A slice is named by a key of evaluation.gate.slices, and its function decides the verdict."""
    (steps.project.root / "my_slices.py").write_text("def old(row):\n    return row['tenure_days'] > 100\n")
    steps.project.configure(evaluation={"gate": {"slices": {"my_slices:old": "all"}}})
    key.digest_of_code.cache_clear()
    steps.keep_all()
    assert steps.reasons() == {}
    key.digest_of_code.cache_clear()
    (steps.project.root / "my_slices.py").write_text("def old(row):\n    return row['tenure_days'] > 200\n")
    assert steps.reasons() == {"03_evaluate": "because the code of evaluation.gate.slices changed"}
    steps.project.configure(evaluation={"gate": {"min_rows": 10}})
    assert list(steps.reasons()) == ["03_evaluate"]  # a limit of the gate does not train again


def test_an_archived_version_is_registered_again(steps):
    """A version that is at neither Staging nor Production is not what register-model is asked for."""
    registry.Registry(steps.project.settings()).promote("repurchase", steps.trained.version, "Archived")
    assert "is Archived" in steps.reasons()["04_register"]


@pytest.mark.slow
def test_a_version_of_another_run_is_not_the_one_that_was_registered(steps, monkeypatch):
    """A deleted model's numbers start again at 1: what is there now is another run's, whoever is asked."""
    settings = steps.project.settings()
    client = tracking.connect(settings)
    client.delete_registered_model("repurchase")
    client.create_registered_model("repurchase")
    with tracking.child_run(settings, "train-model", "", {}) as run:
        client.create_model_version("repurchase", str(steps.project.root), run.info.run_id)
    registry.Registry(settings).promote("repurchase", 1, "Staging")
    assert steps.trained.version == 1
    assert steps.reasons() == {"04_register": "because repurchase version 1 is gone"}
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(sqlite3.Error))
    assert steps.reasons() == {"04_register": "because repurchase version 1 is gone"}


def test_another_address_of_the_llm_is_asked_again(steps, monkeypatch):
    """Answers of another server are other answers."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert steps.reasons() == {"03_evaluate": "because secrets.openai_base_url changed"}


def test_another_image_misses_every_step(steps, monkeypatch):
    """`--runner docker` after `mlops run` must run: the image may lack something."""
    monkeypatch.setenv("MLOPS_IMAGE", "mlops-notebook-python:new")
    assert steps.reasons() == dict.fromkeys(STEPS, "because the image changed")


def test_an_mlflow_that_does_not_answer_is_not_a_run_that_is_gone(steps, monkeypatch):
    """A server that is away for a moment is no deleted run; the step runs, and its new result is cached."""
    settings, parameters = steps.project.settings(), steps.of("02_train").parameters
    train = step_of("02_train")
    outputs = steps.of("02_train").lookup(USE).outputs
    with monkeypatch.context() as patch:
        patch.setattr(sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(sqlite3.Error))
        patch.setattr(mlflow.MlflowClient, "get_run", hiccup)
        patch.setattr(mlflow.MlflowClient, "get_model_version", hiccup)
        for notebook in ("02_train", "03_evaluate", "04_register"):
            with pytest.raises(MlflowException, match="hiccup"):
                steps.of(notebook).lookup(USE)
        cached, answer = store.lookup(settings, train, parameters, USE)
    assert answer == Lookup("because the step cannot be looked up: MlflowException: hiccup")
    made_anew = outputs.model_copy(update={"model_uri": "models:/anew"})
    cached.store(made_anew)
    assert steps.of("02_train").lookup(USE).outputs == made_anew


def hiccup(*_, **__):
    raise MlflowException("hiccup")


def test_a_loader_that_cannot_be_read_is_a_miss(steps):
    """An error of a user's own loader is a miss; the notebook then reports it."""
    (steps.project.root / "bad_loader.py").write_text(
        "from mlops_lib.loaders.files import LocalDataLoader\n"
        "class Bad(LocalDataLoader):\n"
        "    def fingerprint(self):\n"
        "        raise ValueError('no such bucket')\n"
    )
    steps.project.configure(data={"loader": "bad_loader:Bad"})
    ((step, answer),) = cached_run.look_up(steps.project.settings(), {})
    assert step.name == "get-data" and answer.outputs is None
    assert answer.reason == "because the step cannot be looked up: ValueError: no such bucket"


def test_the_run_that_is_shown_is_that_of_the_last_step(steps):
    """Get-data cached from one run and the rest from another: the record is that of the second run."""
    steps.project.configure(train={"max_epochs": 9})
    second = Steps(steps.trained, "second")
    for notebook in STEPS[1:]:
        made = steps.of(notebook).lookup(RESUME).outputs
        second.finish(notebook, made)
    found = cached_run.look_up(steps.project.settings(), {})
    runs = [answer.lookup.entry.parent_run_id for answer in found]
    assert runs == ["first", "second", "second", "second"]
    result = local.run_local(steps.project.settings(), steps.project.config_file, {}, use_cache=True)
    assert result.parent_run_id == "second"
    assert result.of(RegisterOutputs).version == steps.trained.version


def test_a_dataset_outside_the_work_folder_is_kept(steps, tmp_path):
    """A pod's own folder goes with the pod: the next run's gets the dataset from the volume of the work folder."""
    settings = steps.project.settings()
    pod = tmp_path / "pod" / "data"
    shutil.copytree(loaders.prepared_folder(settings), pod)
    outputs = steps.of("01_get_data").lookup(USE).outputs
    for _ in range(2):  # and again, by a run that ran it anew
        cached_step(settings, "01_get_data", data=str(pod), parent_run_id="first").store(outputs)
    shutil.rmtree(pod)
    data = str(tmp_path / "pod2" / "data")
    answer = cached_step(settings, "01_get_data", data=data, parent_run_id="second").lookup(USE)
    assert answer.outputs is not None, answer.reason
    assert loaders.prepared(settings, tmp_path / "pod2" / "data").fingerprint() == outputs.fingerprint
    kept = settings.path(".mlops/step_cache/data")
    assert [str(path.relative_to(kept)) for path in kept.glob("*/*")] == [f"{outputs.fingerprint}/data"]


def get_data_in_a_pod(steps, folder):
    """01_get_data of a run of its own, with its dataset in a folder of its pod."""
    settings = steps.project.settings()
    shutil.copytree(loaders.prepared_folder(settings), folder)
    return cached_step(settings, "01_get_data", data=str(folder), parent_run_id=folder.parent.name)


def test_a_dataset_is_copied_only_for_a_cache_in_use(steps, tmp_path):
    """It may be large, and a pod's disk small: without lookups nothing is copied."""
    pod = get_data_in_a_pod(steps, tmp_path / "pod" / "data")
    pod.store(steps.of("01_get_data").lookup(USE).outputs, copy_data=False)
    assert not (steps.project.root / ".mlops" / "step_cache" / "data").exists()


@pytest.mark.parametrize("copy_data", [True, False])
def test_a_copied_dataset_is_left_as_it_is(steps, tmp_path, copy_data):
    """Another run may be reading it; one with the same data names that copy, and not a folder that goes with its pod."""
    outputs = steps.of("01_get_data").lookup(USE).outputs
    get_data_in_a_pod(steps, tmp_path / "pod1" / "data").store(outputs)
    kept = steps.project.root / ".mlops" / "step_cache" / "data" / outputs.fingerprint / "data"
    before = {file.name: file.stat().st_ino for file in kept.iterdir()}
    second = get_data_in_a_pod(steps, tmp_path / "pod2" / "data")
    second.store(outputs, copy_data)
    assert {file.name: file.stat().st_ino for file in kept.iterdir()} == before
    assert store._read(second.file).data == str(kept)


def test_two_pods_keep_the_same_dataset_at_the_same_time(steps, tmp_path, monkeypatch, capsys):
    """The one that comes second finds the other's copy in place of its own, and names it."""
    outputs = steps.of("01_get_data").lookup(USE).outputs
    first, second = (get_data_in_a_pod(steps, tmp_path / pod / "data") for pod in ("pod1", "pod2"))
    link = dataset.link

    def first_is_faster(folder, target):
        monkeypatch.setattr(dataset, "link", link)
        link(folder, target)
        first.store(outputs)

    monkeypatch.setattr(dataset, "link", first_is_faster)
    second.store(outputs)
    data = store._read(second.file).data
    assert Path(data).is_relative_to(second.folder.parent) and "not cached" not in capsys.readouterr().out
    assert (Path(data) / "train.parquet").samefile(tmp_path / "pod1" / "data" / "train.parquet")
    assert [path.name for path in Path(data).parent.iterdir()] == ["data"]


def test_a_kept_dataset_that_somebody_changed_is_kept_anew(steps, tmp_path):
    """Rows or tags that are not those of the step: its own take their place."""
    outputs = steps.of("01_get_data").lookup(USE).outputs
    kept = steps.project.root / ".mlops" / "step_cache" / "data" / outputs.fingerprint / "data"
    pod = get_data_in_a_pod(steps, tmp_path / "pod" / "data")
    changes = (
        ("train.parquet", "broken"),
        ("dataset.yaml", "feature_service: another"),
        ("dataset.yaml", "{"),
    )
    for name, text in changes:
        pod.store(outputs)
        (kept / name).unlink()
        (kept / name).write_text(text)
        pod.store(outputs)
        assert (kept / name).read_bytes() == (tmp_path / "pod" / "data" / name).read_bytes()


def test_mlflow_is_asked_properly_where_its_tables_are_unknown(steps, monkeypatch):
    """The short cut through sqlite3 is only a short cut: without it the answers are the same."""
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(sqlite3.Error))
    assert steps.reasons() == {}
    tracking.connect(steps.project.settings()).delete_run(steps.trained.run_id)
    assert "is gone" in steps.reasons()["02_train"]


def test_a_broken_entry_is_a_miss(steps):
    """Half a file, after a crash of the machine for example, must not stop a pipeline."""
    step = steps.of("02_train")
    step.file.write_text('{"parts": {')
    assert step.lookup(USE).outputs is None


def test_concurrent_runs_leave_whole_files(steps):
    """Many writers of one key and a reader that never meets half an entry."""
    step = steps.of("02_train")
    outputs = step.lookup(USE).outputs
    with ThreadPoolExecutor(8) as pool:
        writes = [pool.submit(step.store, outputs) for _ in range(200)]
        while not all(write.done() for write in writes):
            json.loads(step.file.read_text())
    assert not [write for write in writes if write.exception()]
    assert sorted(file.suffix for file in step.folder.iterdir()) == [".json"]


def test_the_default_mode_runs_every_step(steps):
    """A user who runs a notebook by hand expects it to run."""
    assert sorted(steps.reasons(OFF)) == sorted(STEPS)


def test_a_resumed_run_trusts_what_it_has_finished(steps):
    """Resume takes the run's own steps although a notebook changed since; another run's it does not take."""
    edit_notebook(steps.project, "02_train")
    assert steps.reasons(RESUME) == {}
    other = Steps(steps.trained, "other")
    assert sorted(other.reasons(RESUME)) == sorted(STEPS)


def test_secrets_are_in_no_entry(steps, monkeypatch):
    """Keys name what changed, so what is in them is on disk: no secret is."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    monkeypatch.setattr(tracking, "tracking_uri", lambda _: "postgresql://me:sk-very-secret@host/mlflow")
    steps.keep_all()
    work = config.load(steps.project.config_file).path(".mlops")
    kept = [file.read_text() for file in work.rglob("*.json")]
    assert any("//***@host/mlflow" in text for text in kept)
    assert not [text for text in kept if "sk-very-secret" in text]


@pytest.mark.slow
def test_the_code_and_data_of_a_graph_are_part_of_the_key(steps):
    """The module of a file form, a module that a function imports, and a prompt beside them; other files are not."""
    root = steps.project.root
    (root / "agents").mkdir()
    texts = {
        "my_agent.py": "def graph():\n    import agent_tools\n",
        "agent_tools.py": "",
        "prompt.md": "",
        "other.md": "",
    }
    texts["my_agent.py"] += "    from pathlib import Path\n    return Path(__file__).with_name('prompt.md')\n"
    for name, text in texts.items():
        (root / "agents" / name).write_text(text)
    steps.project.configure(
        model={"wrapper": "langgraph", "implementation": "agents/my_agent.py:graph", "params": {}}
    )
    steps.keep_all()
    for name in ("my_agent.py", "agent_tools.py", "prompt.md"):
        with (root / "agents" / name).open("a") as file:
            file.write("#\n")
        assert steps.reasons()["02_train"] == "because the code of model.implementation changed"
        steps.keep_all()
    (root / "agents" / "other.md").write_text("changed")
    assert steps.reasons() == {}
