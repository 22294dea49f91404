"""The notebooks' shape, what `run` refuses before a kernel starts, and the record that it keeps."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import mlflow
import nbformat
import numpy as np
import pytest

from mlops_lib import notebooks, tracking
from mlops_lib.errors import ConfigError, ContractError, NotebookError
from mlops_lib.steps import events
from mlops_lib.steps.fork_client import FORK_SERVER_ENV
from mlops_lib.steps.table import STEPS
from tests.support.llm_fixtures import files_with

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request):
    """Each notebook of the repository."""
    return nbformat.read(request.param, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_is_one_notebook_for_each_step():
    """No notebook without a row in the step table, no row without a notebook."""
    assert [path.stem for path in NOTEBOOKS] == [step.notebook for step in STEPS]


def test_a_notebook_is_kept_without_outputs(notebook):
    """A diff shows code, never an output or a run's counter."""
    assert all(not cell.outputs and cell.execution_count is None for cell in code_cells(notebook))


def test_a_notebook_has_five_to_eight_short_code_cells_and_no_definitions(notebook):
    """What would be a function belongs in the library."""
    cells = code_cells(notebook)
    assert 5 <= len(cells) <= 8
    assert all(len(cell.source.splitlines()) <= 12 for cell in cells)
    defined = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
    assert not [n for c in cells for n in ast.walk(ast.parse(c.source)) if isinstance(n, defined)]


def test_a_notebook_has_the_order_that_readers_expect(notebook):
    """Title with Reads, Writes, Next; parameters; ...; What to look at; glue, alone and last."""
    first, second, *_, look, last = notebook.cells
    assert first.cell_type == "markdown" and re.match(r"# 0\d · \w+", first.source)
    assert all(f"**{word}**" in first.source for word in ("Reads", "Writes", "Next"))
    assert second.metadata.tags == ["parameters"] and last.metadata.tags == ["glue"]
    assert [c for c in notebook.cells if c.metadata.get("tags")] == [second, last]
    assert look.cell_type == "markdown" and look.source.startswith("**What to look at**")
    assert look.source.count("\n- ") == 2
    assert last.source.startswith("notebooks.glue(") and len(ast.parse(last.source).body) == 1


def test_parameters_are_typed_commented_literals(notebook):
    """One a line, nothing computed: papermill can replace them and a reader can trust them."""
    cell = code_cells(notebook)[0]
    for line in cell.source.splitlines():
        assert re.fullmatch(r"\w+: (str|int|float|bool) = \S+  # \S.*", line), line
        ast.literal_eval(line.partition("=")[2].partition("#")[0].strip())


@pytest.mark.slow
def test_the_notebooks_run_top_to_bottom_with_their_defaults(project):
    """What a reader does in JupyterLab, by nbval: four notebooks in order, no parameter given."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "-q", "-p", "no:cacheprovider", "-p", "no:xdist",
         *sorted(path.name for path in (project.root / "notebooks").glob("*.ipynb"))],
        cwd=project.root / "notebooks", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout[-3000:]
    cells = sum(len(code_cells(nbformat.read(path, as_version=4))) for path in NOTEBOOKS)
    assert re.search(rf"\b{cells} passed", result.stdout)
    client = tracking.connect(project.settings())
    (version,) = client.search_model_versions("name = 'repurchase'")
    assert version.current_stage == "Staging"


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("02_train", {"epochs": 3}, "epochs.*It takes: parent_run_id, data, max_epochs, seed"),
        ("02_train", {"max_epochs": "ten"}, "max_epochs has value 'ten'.*integer"),
        ("03_evaluate", {"threshold": "high"}, "threshold has value 'high'.*number"),
        ("01_get_data", {"limit": -1}, "limit has value -1"),
        ("05_deploy", {}, "'05_deploy' has no contract. Available: 01_get_data, 02_train"),
    ],
)
def test_bad_parameters_are_refused_before_a_kernel_starts(project, monkeypatch, name, parameters, words):
    """Papermill would only warn; here nothing is run and nothing is logged."""
    monkeypatch.setenv("MLOPS_CONFIG", str(project.config_file))
    with pytest.raises(ContractError, match=words):
        notebooks.run(name, **parameters)
    assert not (project.root / ".mlops").exists()


def test_a_notebook_that_is_not_there_is_named(project, monkeypatch):
    """The path, and the setting that names the folder."""
    monkeypatch.setenv("MLOPS_CONFIG", str(project.config_file))
    (project.root / "notebooks" / "02_train.ipynb").unlink()
    with pytest.raises(ConfigError, match=r"no notebook .*02_train\.ipynb.*pipeline\.notebooks"):
        notebooks.run("02_train")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, r"no code cell tagged 'parameters'.*assigns parent_run_id, data, run_id, threshold"),
        ("twice", r"2 code cells tagged 'parameters'"),
        ("markdown", r"no code cell tagged 'parameters'"),
        ("not JSON", "is no notebook"),
        ("[1]", "is no notebook"),
    ],
)
def test_a_notebook_without_a_parameters_cell_is_refused(project, monkeypatch, content, words):
    """Its own defaults would replace the step's parameters: the error names the file, and nothing is run."""
    monkeypatch.setenv("MLOPS_CONFIG", str(project.config_file))
    file = project.root / "notebooks" / "03_evaluate.ipynb"
    notebook = nbformat.read(file, as_version=4)
    tagged = {None: [], "twice": code_cells(notebook)[:2], "markdown": [notebook.cells[0]]}.get(content, [])
    for cell in notebook.cells:
        cell.metadata["tags"] = ["parameters"] if cell in tagged else []
    is_json = content in (None, "twice", "markdown")
    file.write_text(nbformat.writes(notebook) if is_json else content)
    with pytest.raises(ContractError, match=words) as error:
        notebooks.run("03_evaluate", threshold=0.25)
    assert str(file) in str(error.value) and not (project.root / ".mlops").exists()


def test_a_runner_is_told_of_a_missing_notebook(project, monkeypatch):
    """Also an error before the kernel starts is an event, which the runner shows instead of a traceback."""
    monkeypatch.setenv("MLOPS_CONFIG", str(project.config_file))
    (project.root / "notebooks" / "02_train.ipynb").unlink()
    folder = events.run_folder(project.settings(), "a-run")
    events.create(folder)
    with pytest.raises(ConfigError):
        notebooks.run("02_train", parent_run_id="a-run")
    (failed,) = events.read(folder)
    assert failed.event == "failed" and failed.message.startswith("There is no notebook")


@pytest.fixture
def replaced(toy, forked_steps):
    """Replace the code cells after the parameters of 03_evaluate, and run it, as `mlops run` does."""

    def run(*sources: str, **parameters):
        path = toy.root / "notebooks" / "03_evaluate.ipynb"
        notebook = nbformat.read(path, as_version=4)
        parameter_cell = code_cells(notebook)[0]
        notebook.cells = [parameter_cell, *map(nbformat.v4.new_code_cell, sources)]
        nbformat.write(notebook, path)
        return notebooks.run("03_evaluate", **parameters)

    run.project = toy
    return run


@pytest.fixture
def replaced_here(replaced, monkeypatch):
    """The same in the process of the test, as on a cluster."""
    monkeypatch.delenv(FORK_SERVER_ENV)
    return replaced


GLUE = "from mlops_lib import notebooks\nnotebooks.glue(score={}, threshold=0.5, passed=True)"


def parent_of(project):
    """The one run that there is, and the names of the kept notebooks."""
    client = tracking.connect(project.settings())
    (run,) = client.search_runs([client.get_experiment_by_name("repurchase").experiment_id])
    return run, sorted(file.path for file in client.list_artifacts(run.info.run_id, "notebooks"))


@pytest.mark.slow
def test_outputs_come_back_and_the_record_is_kept(replaced, monkeypatch):
    """Values with their types, the executed notebook and its HTML on a finished run; no secret in either."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    outputs = replaced("print('seen', threshold)", GLUE.format("0.75"), threshold=0.25)
    assert outputs.astuple() == ("0.75", 0.5, True, "")
    run, kept = parent_of(replaced.project)
    assert kept == ["notebooks/03_evaluate.html", "notebooks/03_evaluate.ipynb"]
    assert run.info.status == "FINISHED" and run.data.metrics["03_evaluate.score"] == 0.75
    assert len(run.data.tags["mlops.notebook_sha256.03_evaluate"]) == 64
    html = Path(
        mlflow.artifacts.download_artifacts(run_id=run.info.run_id, artifact_path=kept[0])
    ).read_text()
    assert "seen 0.25" in html and "sk-very-secret" not in html
    assert not re.search(r"""<(script|link|img)[^>]+(src|href)=["']https?:""", html), (
        "the record needs a network"
    )


@pytest.mark.slow
def test_a_score_without_a_value_comes_back(replaced):
    """A metric that has no value on the test rows is an output, and is no metric of the run."""
    last = "notebooks.glue(score=None, threshold=0.5, passed=False, reason='r2 has no value: no variance.')"
    outputs = replaced("from mlops_lib import notebooks", last)
    assert outputs.score is None and outputs.reason == "r2 has no value: no variance."
    run, _ = parent_of(replaced.project)
    assert run.info.status == "FINISHED" and "03_evaluate.score" not in run.data.metrics
    assert run.data.tags["03_evaluate.reason"] == outputs.reason


@pytest.mark.slow
def test_a_step_that_ran_again_replaces_its_earlier_outputs(replaced, tmp_path):
    """A step of a resumed run whose key cannot be computed: its last outputs count, and cannot be reused."""
    settings = replaced.project.settings()
    run_id = tracking.open_parent(settings)
    folder = events.run_folder(settings, run_id)
    events.create(folder)
    before = {"score": 0.1, "threshold": 0.5, "passed": False}
    events.write(folder, events.Finished(step="evaluate-model", outputs=before))
    # Without a dataset there is no fingerprint, and without that no key.
    replaced(GLUE.format("0.75"), parent_run_id=run_id, data=str(tmp_path / "none"))
    last = events.finished(folder)["evaluate-model"]
    assert last.outputs["score"] == 0.75 and last.entry is None


@pytest.mark.slow
def test_a_step_reports_to_its_runner(replaced):
    """Started, each code cell with the number of all cells, finished; a failure with its record, without passwords."""
    settings = replaced.project.settings()
    run_id = tracking.open_parent(settings)
    folder = events.run_folder(settings, run_id)
    events.create(folder)
    replaced("1", GLUE.format("0.75"), parent_run_id=run_id)
    started, *cells, finished = events.read(folder)
    assert started == events.Started(step="evaluate-model")
    assert [(event.cell, event.cells) for event in cells] == [(n, 4) for n in (1, 2, 3, 4)]
    assert finished.outputs == {"score": 0.75, "threshold": 0.5, "passed": True, "reason": ""}
    error = "raise ValueError('no purchases at http://me:hush@shop\\nUse an earlier date.')"
    with pytest.raises(NotebookError):
        replaced(error, parent_run_id=run_id)
    failed = events.read(folder)[-1]
    assert failed.message.endswith("ValueError: no purchases at http://***@shop\nUse an earlier date.")
    assert "no purchases at" in Path(failed.record).read_text()


@pytest.mark.slow
def test_a_runner_is_told_of_what_a_notebook_warns(replaced):
    """Each warning once, in order, without passwords. Other lines and standard error are for the record alone."""
    run_id = tracking.open_parent(replaced.project.settings())
    folder = events.run_folder(replaced.project.settings(), run_id)
    events.create(folder)
    prints = (
        "for n in (1, 2, 1): print(f'WARNING: column [{n}] of http://me:hush@shop')\nprint('no WARNING: 3')"
    )
    others = "import sys\nprint('WARNING: of a package', file=sys.stderr)\nprint('WARNING: 나이가 -1이다')"
    replaced(prints, others, GLUE.format("0.75"), parent_run_id=run_id)
    warned = [one.message for one in events.read(folder) if isinstance(one, events.Warned)]
    assert warned == [
        "column [1] of http://***@shop", "column [2] of http://***@shop", "나이가 -1이다",
    ]  # fmt: skip


@pytest.mark.slow
def test_the_record_of_a_notebook_has_no_key(replaced, monkeypatch):
    """A key in an error, a printed text or a source is in no file of the project: notebook, page, event or store."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-of-this-test")
    with pytest.raises(NotebookError):
        replaced(
            "import os\nkey = os.environ['ANTHROPIC_API_KEY']\nprint(key)\nkey",
            "raise ValueError(f'401: {key} {\"sk-\"}proj-0123456789abcdef is unknown')",
        )
    assert files_with(replaced.project.root, "a-key-of-this-test") == []
    assert files_with(replaced.project.root, "sk-proj-0123456789abcdef") == []
    assert len(files_with(replaced.project.root, "401: *** *** is unknown")) >= 2


def test_a_started_step_can_be_stopped(replaced_here, monkeypatch):
    """The runner may answer the event with SIGTERM at once: the step then ends as on Ctrl-C, with its record."""
    write = events.write

    def write_and_stop(folder, event):
        write(folder, event)
        if event.event == "started":
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(events, "write", write_and_stop)
    handler = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(KeyboardInterrupt):
            replaced_here(GLUE.format("0.75"))
    finally:
        signal.signal(signal.SIGTERM, handler)
    assert parent_of(replaced_here.project)[0].info.status == "KILLED"


@pytest.mark.slow
def test_a_step_without_a_runner_writes_no_events(replaced):
    """On a cluster, and for a notebook that is run by hand, there is no folder of the run."""
    replaced(GLUE.format("0.75"))
    assert not list(replaced.project.root.rglob("events.jsonl"))


@pytest.mark.slow
def test_a_cell_that_raises_is_named_and_its_record_kept(replaced):
    """Which cell, which error, where to read it; the partial notebook is in MLflow and the run is FAILED."""
    with pytest.raises(NotebookError) as error:
        replaced("1", "2", "raise ValueError('no purchases after 1997')", GLUE.format("0.75"))
    message = str(error.value)
    assert "03_evaluate failed in cell In [5]: ValueError: no purchases after 1997" in message
    run, kept = parent_of(replaced.project)
    where = Path(re.search(r"Its record: (\S+)", message)[1])
    assert run.info.run_id in str(where) and "no purchases after 1997" in where.read_text()
    assert (
        kept == ["notebooks/03_evaluate.html", "notebooks/03_evaluate.ipynb"] and run.info.status == "FAILED"
    )


@pytest.mark.slow
def test_a_kernel_that_dies_is_told_as_such(replaced):
    """What the operating system kills for its memory leaves no traceback, but a record."""
    with pytest.raises(NotebookError, match="kernel of 03_evaluate died"):
        replaced("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", GLUE.format("0.75"))
    assert parent_of(replaced.project)[0].info.status == "FAILED"


@pytest.mark.slow
def test_a_kernel_that_does_not_start_is_told_as_such(replaced, monkeypatch, tmp_path):
    """A broken environment, say: an error of the step, after which the run has ended."""
    spec = tmp_path / "kernels" / "python3" / "kernel.json"
    spec.parent.mkdir(parents=True)
    spec.write_text(
        json.dumps(
            {"argv": [sys.executable, "-c", "raise SystemExit('no kernel today')"], "language": "python"}
        )
    )
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    with pytest.raises(NotebookError, match="kernel of 03_evaluate did not start"):
        replaced(GLUE.format("0.75"))
    assert parent_of(replaced.project)[0].info.status == "FAILED"


@pytest.mark.slow
@pytest.mark.parametrize(("folder", "transport"), [("", "ipc"), ("long" * 25, "tcp"), ("é" * 45, "tcp")])
def test_a_kernel_needs_no_port(replaced_here, monkeypatch, folder, transport):
    """Another program cannot take it meanwhile. Where a socket's file would have too long a name, in bytes, TCP it is."""
    with tempfile.TemporaryDirectory() as base:
        (Path(base) / folder).mkdir(exist_ok=True)
        monkeypatch.setattr(tempfile, "tempdir", str(Path(base) / folder))
        found = "from ipykernel.connect import get_connection_info as info\nfound = info(unpack=True)['transport']"
        replaced_here(found, f"assert found == {transport!r}, found", GLUE.format("0.75"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("last", "words"),
    [
        (GLUE.format("float('nan')"), "score.*not finite"),
        ("from mlops_lib import notebooks\nnotebooks.glue(score=0.9, passed=True)", "threshold is missing"),
        (
            "import scrapbook\nfor k in ('score', 'threshold', 'passed'): scrapbook.glue(k, 'x')",
            "score has value 'x'",
        ),
    ],
)
def test_outputs_that_the_next_step_cannot_use_are_refused(replaced, last, words):
    """A NaN score, a forgotten output, a text for a number: the run fails, the record stays."""
    with pytest.raises((NotebookError, ContractError), match=words):
        replaced(last)
    run, kept = parent_of(replaced.project)
    assert kept and run.info.status == "FAILED" and "03_evaluate.score" not in run.data.metrics


@pytest.mark.parametrize(
    ("value", "glued"),
    [
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.array(2.0), 2.0),
        ("text", "text"),
    ],
)
def test_glue_turns_numpy_into_plain_values(monkeypatch, value, glued):
    """scrapbook would raise on them or turn them into text."""
    seen = {}
    monkeypatch.setattr("scrapbook.glue", seen.__setitem__)
    notebooks.glue(x=value)
    assert seen == {"x": glued} and type(seen["x"]) is type(glued)


@pytest.mark.parametrize("value", [float("nan"), np.float64("inf"), [1], np.zeros(2), {"a": 1}])
def test_glue_refuses_what_no_step_can_use(value):
    """Named, with its value."""
    with pytest.raises(ContractError, match="Cannot glue 'x'"):
        notebooks.glue(x=value)
