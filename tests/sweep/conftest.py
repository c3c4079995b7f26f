import numpy as np
import pytest

from rtl4ml.sweep.model import Model, keep
from tests.frontend.build import mlp


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RTL4ML_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def path(tmp_path_factory):
    return mlp(np.random.default_rng(41), [6, 5, 4]).save(tmp_path_factory.mktemp("sweep"), name="tiny.onnx")


@pytest.fixture(scope="session")
def model(path):
    found = Model.of(path)
    keep(found)
    return found
