"""01 to 03 on splits that are larger than the memory there is, under the kernel's own limit."""

import os
import re
import subprocess
import sys

import pytest

from tests.loaders.large import CSV_MARGIN_MB, MARGIN_MB, write_csv, write_large

#: Runs in a process of its own, which may take MARGIN_MB more than it has after its imports and a rehearsal.
RUN = "from tests.loaders.large import run; run({folder!r}, {streaming!r})"


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A project whose rows take more than the margin, without a copy of any."""
    folder = tmp_path_factory.mktemp("large")
    assert write_large(folder / "rows") > MARGIN_MB
    return folder


def run(folder, streaming):
    command = [sys.executable, "-c", RUN.format(folder=str(folder), streaming=streaming)]
    # One thread each: how much private memory their arenas take must not depend on the machine's cores.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    return subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False, env=environment)


@pytest.mark.slow
def test_checking_training_and_judging_need_no_split_in_memory(large):
    """Checks with unique keys, writing, a fit, and an evaluation beside baselines: all under the limit."""
    done = run(large, True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "roc_auc" in done.stdout and "learned from" in done.stdout


@pytest.mark.slow
def test_without_streaming_the_same_run_does_not_fit(large):
    """The limit is one: what holds its splits in memory is stopped by it."""
    done = run(large, False)
    assert done.returncode != 0 and re.search("memory|alloc", done.stderr, re.IGNORECASE), done.stderr[-3000:]


@pytest.mark.slow
@pytest.mark.parametrize("how", ["{by: key}", "{by: label}"])
def test_a_csv_is_typed_split_checked_and_written_without_holding_it(tmp_path, how):
    """A table larger than the margin, with the rules of the configuration and each way to split."""
    write_csv(tmp_path / "few.csv", 10_000)
    assert write_csv(tmp_path / "many.csv", 330_000) > CSV_MARGIN_MB
    code = f"from tests.loaders.large import get_data; get_data({str(tmp_path)!r}, {how!r})"
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ARROW_IO_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=3600, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
