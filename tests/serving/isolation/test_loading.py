"""Loading in a model process: refused with a reason, or with modules of its own and without a trace in its files."""

import os

import pytest

from mlops_lib.files import digest_of_folder
from serving.isolation import failures, messages
from tests.support import model_process
from tests.support.model_process import OBEDIENT, settings_in, with_code
from tests.support.waiting import until

MODEL = """
import mlflow
{imports}
class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        {load}
    def predict(self, context, model_input, params=None):
        {predict}
mlflow.models.set_model(Model())
"""


def model(imports="", load="pass", predict="return [1] * len(model_input)"):
    """The code of a model."""
    return MODEL.format(imports=imports, load=load, predict=predict)


@pytest.fixture
def load(template, obedient, settings, tmp_path):
    """Load a model of this code, with these carried modules; its process and its first message."""
    started = []

    def start(code, **modules):
        folder = with_code(obedient, tmp_path / f"model{len(started)}", code, **modules)
        process = model_process.ModelProcess(template, folder, settings)
        started.append(process)
        return process, process.receive()

    yield start
    for process in started:
        process.close()


REQUIRES = "import argparse; p = argparse.ArgumentParser(); p.add_argument('file'); p.parse_args()"


@pytest.mark.parametrize(
    ("imports", "load_context", "said"),
    [
        ("import sys; sys.exit(1)", "pass", "SystemExit: 1"),
        (REQUIRES, "pass", "SystemExit: 2"),
        ("import nowhere", "pass", "No module named 'nowhere'"),
        ("syntax error", "pass", "invalid syntax"),
        ("", "raise SystemExit('bye')", "SystemExit: bye"),
        ("", "raise KeyboardInterrupt()", "KeyboardInterrupt"),
        ("", "raise TypeError('no such file')", "TypeError: no such file"),
    ],
)
def test_a_load_that_fails_is_refused_with_its_reason(load, imports, load_context, said):
    """Code may raise or exit: the reason reaches the gateway, which refuses the version."""
    _, failed = load(model(imports, load_context))
    assert isinstance(failed, messages.Failed) and failed.kind == "model" and said in failed.message
    assert said.split(":")[0] in failed.traceback


def test_a_load_that_ends_the_process(load):
    """The gateway sees the process end."""
    process, message = load(model(load="import os; os._exit(3)"))
    assert message is None and process.wait_for_exit() == 3 << 8


@pytest.mark.slow
def test_the_log_shows_where_a_load_hangs(obedient, tmp_path, capfd):
    """Shortly before its time is over."""
    settings = settings_in(tmp_path / "service")
    settings.serving.__dict__["load_timeout_s"] = 2.0
    hangs = with_code(obedient, tmp_path / "model", "import time\ntime.sleep(600)\n")
    of, said = model_process.Template(), []
    try:
        model_process.ModelProcess(of, hangs, settings)
        until(
            lambda: said.append(capfd.readouterr().err) or "in open_model" in "".join(said),
            "the log has the stack",
        )
    finally:
        of.close()


def test_code_that_reads_arguments_finds_none(load):
    """argparse at import sees neither the gateway's arguments nor those of a test run."""
    process, loaded = load(model(imports="import argparse; argparse.ArgumentParser().parse_args()"))
    assert isinstance(loaded, messages.Loaded) and process.do("x").predictions == [1]


@pytest.mark.parametrize("name", ["helper", "serving", "numpy_helper"])
@pytest.mark.parametrize(
    "code",
    [
        model(imports="import {0}", predict="return [{0}.F] * len(model_input)"),
        model(load="import {0}; self.f = {0}.F", predict="return [self.f] * len(model_input)"),
        model(predict="import {0}; return [{0}.F] * len(model_input)"),
        model(predict="import importlib; return [importlib.import_module('{0}').F] * len(model_input)"),
    ],
    ids=["top", "load", "predict", "dynamic"],
)
def test_two_versions_with_modules_of_the_same_name(load, name, code):
    """Each version runs its own module, whenever it imports it; also one with the name of a package of the service."""
    one, _ = load(code.format(name), **{name: "F = 1"})
    two, _ = load(code.format(name), **{name: "F = 2"})
    assert (one.do("x").predictions, two.do("x").predictions) == ([1], [2])
    assert one.do("x").predictions == [1] and isinstance(one.ping(), messages.Pong)


def test_files_are_as_before(load, obedient, tmp_path):
    """Neither a load, nor a call, nor a program that it starts writes beside the model: the cached copy stays good."""
    program = (
        "subprocess.run([sys.executable, '-c', 'import helper'], check=True, cwd=__file__.rpartition('/')[0])"
    )
    modules = {"helper": "F = 1", "late": f"import subprocess, sys\n{program}\nF = 2"}
    code = model("import helper", predict="import late; return [late.F] * len(model_input)")
    digest = digest_of_folder(with_code(obedient, tmp_path / "same", code, **modules))
    process, _ = load(code, **modules)
    assert process.do("x").predictions == [2]
    assert digest_of_folder(tmp_path / "model0") == digest


def test_an_example_that_is_not_answered_refuses_the_model(template, settings, tmp_path):
    """The example is answered in the process, and its first row is the gateway's."""
    import mlflow.pyfunc

    source = tmp_path / "obedient.py"
    source.write_text(OBEDIENT)
    folder = tmp_path / "model"
    example = [{"do": "1"}, {"do": "1 + 1"}]
    mlflow.pyfunc.save_model(folder, python_model=str(source), input_example=example, pip_requirements=[])
    process = model_process.ModelProcess(template, folder, settings)
    assert process.receive().example == {"do": "1"}
    process.close()
    file = folder / "input_example.json"
    file.write_text(file.read_text().replace("1 + 1", "fail(KeyError('x'))"))
    process = model_process.ModelProcess(template, folder, settings)
    error = failures.exception(process.receive())
    process.close()
    assert "toy version 1 does not answer the example it was logged with: KeyError" in str(error)


def test_the_processes_of_a_template_share_its_memory(template, obedient, settings):
    """A process has little memory of its own: less than half of the template's."""
    with model_process.running(template, obedient, settings) as process:
        process.do("1")
        assert private_kib(process.pid) < 0.5 * resident_kib(template.process.pid)


def private_kib(pid):
    """Memory that a process shares with none."""
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private"))


def resident_kib(pid):
    """Memory of a process, shared or not."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
