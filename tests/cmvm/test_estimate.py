import numpy as np

from rtl4ml.cmvm.estimate import building_seconds, seconds


def test_estimate_grows_with_the_matrix():
    rng = np.random.default_rng(0)
    small, large = rng.integers(-31, 32, (16, 16)), rng.integers(-31, 32, (64, 64))
    assert 0 < seconds(small) < 0.5 < seconds(large) < 10
    assert seconds(np.zeros((4, 4), np.int64)) == 0
    assert 0 < building_seconds(small) < building_seconds(large) < 60
