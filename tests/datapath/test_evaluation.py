import numpy as np


def test_every_word_stays_in_its_range(make, values):
    for seed in range(10):
        datapath = make(seed, 120)
        results = datapath.evaluate(values(datapath, 500, seed))
        for name, array in results.items():
            word = datapath.outputs[name]
            assert array.shape == (500,)
            assert word.low <= array.min()
            assert array.max() <= word.high


def test_no_samples(make):
    datapath = make(1, 50)
    results = datapath.evaluate({name: np.zeros(0, np.int64) for name in datapath.inputs})
    assert all(array.shape == (0,) for array in results.values())
