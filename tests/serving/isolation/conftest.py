"""One template for all tests of a process, and the files of two models."""

import pytest

from tests.support import model_process


@pytest.fixture(scope="session")
def template():
    """A template that has its imports."""
    started = model_process.Template()
    yield started
    started.close()


@pytest.fixture(scope="session")
def obedient(tmp_path_factory):
    """Files of a model from code that evaluates its rows."""
    return model_process.make_pyfunc(tmp_path_factory.mktemp("obedient"))


@pytest.fixture(scope="session")
def graph(tmp_path_factory):
    """Files of a graph that evaluates its questions."""
    return model_process.make_graph(tmp_path_factory.mktemp("graph"))


@pytest.fixture(scope="session")
def settings(tmp_path_factory):
    """Settings of a service."""
    return model_process.settings_in(tmp_path_factory.mktemp("project"))
