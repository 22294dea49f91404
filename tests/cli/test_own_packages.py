"""Names of the platform's packages in a project do not take their place."""

import subprocess
import sys

import pytest

from mlops_lib.cli import own_packages

FOUND = """
import sys
sys.path.insert(0, ".")
from mlops_lib.cli import own_packages
own_packages.prefer()
own_packages.prefer()
import serving, pipelines
print(serving.__file__, pipelines.__file__, sum(type(one).__name__ == "_Finder" for one in sys.meta_path))
"""


@pytest.mark.parametrize(
    "name", ["serving.py", "pipelines.py", "serving/__init__.py", "pipelines/__init__.py"]
)
def test_a_module_of_the_project_is_not_taken_for_the_platform_s(tmp_path, name):
    """Even in front of the path, as in a checkout of another version."""
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("raise RuntimeError('the module of the project')")
    done = subprocess.run(
        [sys.executable, "-c", FOUND], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    *files, finders = done.stdout.split()
    assert str(tmp_path) not in done.stdout and len(files) == 2 and finders == "1"


def test_other_names_are_found_as_ever():
    """The finder knows two names."""
    assert own_packages._Finder().find_spec("notebooks", None) is None
