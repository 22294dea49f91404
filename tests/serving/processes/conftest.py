"""The files of two models, made once."""

import pytest

from tests.support import model_process


@pytest.fixture(scope="session")
def obedient(tmp_path_factory):
    """Files of a model from code that evaluates its rows."""
    return model_process.make_pyfunc(tmp_path_factory.mktemp("obedient"))


@pytest.fixture(scope="session")
def graph(tmp_path_factory):
    """Files of a graph that evaluates its questions."""
    return model_process.make_graph(tmp_path_factory.mktemp("graph"))
