"""One template for all tests of a process."""

import pytest

from tests.support import model_process


@pytest.fixture(scope="session")
def template():
    """A template that has its imports."""
    started = model_process.Template()
    yield started
    started.close()


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    """Settings of a service."""
    return model_process.settings_in(tmp_path_factory.mktemp("project"))
