"""What is imported ahead: in an order that works, and without losing what the imports set."""

import os
import subprocess
import sys

import pytest

from mlops_lib.steps import preload


def test_variables_that_an_import_sets_survive_the_environment_of_the_caller(tmp_path):
    """scikit-learn and Lightning set some, and later read them; a value of the caller's own wins."""
    (tmp_path / "setter.py").write_text(
        "import os\nos.environ['SET_BY_IMPORT'] = os.environ['ALSO_OF_CALLER'] = 'import'\n"
    )
    code = (
        "import os\n"
        "from mlops_lib.steps import preload\n"
        "for _ in preload.each(('setter',)): pass\n"
        "preload.take_environment({'ALSO_OF_CALLER': 'caller', 'TZ': 'Asia/Seoul'})\n"
        "print(os.environ['SET_BY_IMPORT'], os.environ['ALSO_OF_CALLER'], 'OF_SERVER' in os.environ)\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), "OF_SERVER": "1"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout.split() == ["import", "caller", "False"]


@pytest.mark.slow
def test_all_that_the_fork_server_loads(project):
    """Importing starts no Python thread, and no thread but those that OpenBLAS and jemalloc know how to fork.

    OpenMP is set up before: its threads would spin while they wait, and torch reads the variable once, when it is imported.
    """
    modules = preload.STEP + preload.KERNEL + preload.chosen(project.settings())
    code = (
        "import os, sys, threading\n"
        "from mlops_lib.steps import preload, record\n"
        "loads_torch = ''\n"
        f"for module in preload.each({modules!r}):\n"
        "    if 'torch' in sys.modules: loads_torch = loads_torch or module\n"
        "    else: policy = os.environ.get('OMP_WAIT_POLICY')\n"
        "record.render_first_page()\n"
        "import torch\n"
        "print(loads_torch, policy, torch.cuda.is_initialized(), threading.active_count(), len(os.listdir('/proc/self/task')))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment["OPENBLAS_NUM_THREADS"] = "1"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    loads_torch, policy, cuda, threads, tasks = result.stdout.split()
    assert (
        loads_torch == "torch"
        and policy == "PASSIVE"
        and cuda == "False"
        and int(threads) == 1
        and int(tasks) <= 2
    )
