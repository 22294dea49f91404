"""The registry with two versions of a small network, made once."""

import pytest

from tests.serving import shop as shop_module


@pytest.fixture(scope="session")
def shop(tmp_path_factory):
    """Settings of a folder whose registry has `shop` 1 (Production) and 2; copy it before moving stages."""
    return shop_module.make(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="session")
def shop_service(shop, tmp_path_factory):
    """The service on `shop` 1 with a prediction log and nothing else changed."""
    folder = tmp_path_factory.mktemp("service")
    settings = shop_module.copy(shop, folder / "project", poll_s=60.0, prediction_log=str(folder / "log"))
    with shop_module.running(settings) as service:
        yield service
