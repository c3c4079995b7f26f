import numpy as np

from rtl4ml.frontend.judge import exact
from rtl4ml.frontend.judge.exact import scaled, two_product


def test_fast_and_exact_rounding_agree(monkeypatch):
    """Random scales, ties of float32, cancelling addends, values far apart; blocks of a few elements."""
    monkeypatch.setattr(exact, "_BLOCK", 500)
    rng = np.random.default_rng(4)
    codes = rng.integers(-(2**30), 2**30, (7, 30, 50))
    codes[0] = rng.integers(2**23, 2**24, (30, 50)) * 2 + 1
    odd = rng.uniform(0.01, 1, (30, 1)).astype(np.float32).astype(np.float64)
    for scale in (np.full((1, 1), 2.0**-9), odd * np.float64(np.float32(0.3)), -odd):
        product = codes * scale
        near = -product.astype(np.float32).astype(np.float64)
        for addend in (None, rng.normal(size=(30, 1)), near, near * 2.0**-24, near * 0.5):
            for factors in ([scale], list(two_product(scale, np.full((30, 1), 0.7)))):
                arrays = [np.broadcast_to(factor, codes.shape) for factor in factors]
                wide = None if addend is None else np.broadcast_to(addend, codes.shape)
                expected = exact._scaled_exactly(codes, arrays, wide)
                found = scaled(codes, factors, addend)
                assert (found.view(np.int32) == expected.view(np.int32)).all()


def test_nothing_at_all():
    assert scaled(np.zeros((0, 3), np.int64), [np.ones(3)]).shape == (0, 3)
