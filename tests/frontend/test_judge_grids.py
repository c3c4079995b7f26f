import numpy as np
import pytest

from rtl4ml.frontend.judge.grids import common_scale, recover


@pytest.mark.parametrize("scale", [2.0**-7, 1.0, 2.0**-140])
def test_power_of_two_grids_are_coarsest(scale):
    codes = np.array([[4, -6], [0, 32766], [-32768 + 2, 8]])
    scales, found = recover((codes * scale).astype(np.float32), 0)
    assert (scales == 2 * scale).all()
    assert (found == codes // 2).all()


def test_zeros_have_codes_of_zero():
    scales, codes = recover(np.zeros((3, 2), np.float32), 0)
    assert (scales == 1).all()
    assert not codes.any()


def test_an_exact_grid_is_preferred_to_a_rounded_one():
    # 3 and 5 times a scale of 21 bits are exact; the next float32 scales would round to the same weights.
    scale = np.float32(1.0 + 2.0**-20)
    scales, codes = recover(np.array([[3], [-5]], np.float32) * scale, 0)
    assert codes.tolist() == [[3], [-5]]
    assert (scales == scale).all()


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
@pytest.mark.parametrize("seed", range(4))
def test_any_scale_is_recovered_from_rounded_products(bits, seed):
    rng = np.random.default_rng(seed)
    scale = np.float32(rng.uniform(0.001, 10))
    codes = rng.integers(-(2 ** (bits - 1)) + 1, 2 ** (bits - 1), (60, 20))
    codes[0] = 1  # so that no coarser grid fits
    values = (codes * np.float64(scale)).astype(np.float32)
    scales, found = recover(values, 0)
    assert (found == codes).all()
    assert ((found * scales).astype(np.float32) == values).all()
    if (
        found * scales != values
    ).any():  # not an exact grid: the largest, with the next float32 number some value changes
        above = np.float64(np.nextafter(np.float32(scales.flat[0]), np.float32(np.inf)))
        assert not ((found * above).astype(np.float32) == values).all()


def test_scales_differ_between_channels():
    rng = np.random.default_rng(0)
    scale = rng.uniform(0.01, 1, 5).astype(np.float32)
    codes = rng.integers(-7, 8, (5, 30))
    codes[:, 0] = 1
    values = (codes * scale.astype(np.float64)[:, np.newaxis]).astype(np.float32)
    scales, found = recover(values, 1)
    assert (found == codes).all()
    assert (scales == scales[:, :1]).all()


def test_values_off_every_grid_have_none():
    assert recover(np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32), 0) is None
    assert recover(np.array([[np.nan], [1]], np.float32), 0) is None


def test_common_scale_needs_powers_of_two_along_the_axis():
    scale = np.array([[0.3, 0.5], [0.6, 0.5]], np.float32).astype(np.float64)
    smallest, shifts = common_scale(scale, 0)
    assert (smallest == scale[:1]).all()
    assert shifts.tolist() == [[1, 1], [2, 1]]
    assert common_scale(scale, 1) is None
    assert common_scale(np.array([[0.0], [1.0]]), 0) is None
