"""The benchmark of a newcomer's tables says how it is called."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--help"], 0, "newcomer.py /tmp/tables oj wage --network"),
        (["a", "ojj"], 2, "There is no table ojj"),
    ],
)
def test_a_benchmark_has_help_with_examples(arguments, status, said):
    """Nothing is downloaded, and a table that is not there is named."""
    command = [sys.executable, "benchmarks/real_tables/newcomer.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == status and said in done.stdout + done.stderr
