import numpy as np
import pytest

from rtl4ml.errors import ConfigurationError
from rtl4ml.report.samples import read_samples

X = np.arange(24, dtype=np.uint8).reshape(4, 2, 3)


def message(*arguments, labels=False):
    with pytest.raises(ConfigurationError) as caught:
        read_samples(*arguments, labels=labels)
    return str(caught.value)


def saved(folder, **arrays):
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize("name", ["x", "images"])
@pytest.mark.parametrize("shape", [(6,), (2, 3), (3, 2, 1)])
def test_arrays_come_in_the_model_s_shape(tmp_path, name, shape):
    values, labels = read_samples(saved(tmp_path, **{name: X}, other=np.zeros((4, 7))), shape, None, labels=False)
    assert values.dtype == np.float32
    assert values.shape == (4, *shape)
    assert np.array_equal(values.reshape(-1), np.arange(24))
    assert labels is None


def test_npy_files(tmp_path):
    np.save(tmp_path / "data.npy", X)
    assert read_samples(tmp_path / "data.npy", (6,), None, labels=False)[0].shape == (4, 6)


def test_the_array_x_wins(tmp_path):
    assert read_samples(saved(tmp_path, a=X + 1, x=X), (6,), None, labels=False)[0][0, 0] == 0


def test_division_in_float32(tmp_path):
    values, _ = read_samples(saved(tmp_path, x=X), (6,), 255, labels=False)
    assert np.array_equal(values.reshape(-1), np.arange(24, dtype=np.float32) / np.float32(255))


@pytest.mark.parametrize("name", ["labels", "y", "label", "targets"])
def test_labels(tmp_path, name):
    path = saved(tmp_path, x=X, **{name: np.array([[1], [0], [2], [1]])})
    assert read_samples(path, (6,), None, labels=True)[1].tolist() == [1, 0, 2, 1]


def test_no_labels(tmp_path):
    path = saved(tmp_path, x=X, y=np.arange(3))
    assert message(path, (6,), None, labels=True) == (
        f"Data {str(path)!r} must hold 4 labels, as an array named one of labels, y, label, targets"
    )


def test_no_file(tmp_path):
    path = tmp_path / "absent.npz"
    assert message(path, (6,), None) == (
        f"Data {str(path)!r} must be a readable .npz or .npy file without pickles: [Errno 2] No such file or "
        "directory: "
        f"{str(path)!r}"
    )


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 not a zip"])
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "data.npz"
    path.write_bytes(content)
    found = message(path, (6,), None)
    assert found.startswith(f"Data {str(path)!r} must be a readable .npz or .npy file without pickles: ")
    assert "unsafely" not in found


def test_pickles(tmp_path):
    path = tmp_path / "data.npz"
    np.savez(path, x=np.array([{}], object))
    assert message(path, (6,), None).startswith(
        f"Data {str(path)!r} must be a readable .npz or .npy file without pickles: "
    )


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"a": np.zeros((4, 5))}, "a [4, 5]"),
        ({"a": np.zeros((4, 6)), "b": np.zeros((4, 6))}, "a [4, 6], b [4, 6]"),
        ({"a": np.array(["text"])}, "a [1]"),
        ({"scalar": np.array(3.0)}, "scalar []"),
    ],
)
def test_no_array_that_fits(tmp_path, arrays, found):
    path = saved(tmp_path, **arrays)
    assert message(path, (6,), None) == (
        f"Data {str(path)!r} must hold one array of 6 elements a sample, or name it x, not {found}"
    )


@pytest.mark.parametrize(("divisor", "shown"), [(0, "0"), (float("nan"), "nan"), (float("inf"), "inf")])
def test_divisors(tmp_path, divisor, shown):
    assert message(saved(tmp_path, x=X), (6,), divisor) == (
        f"Divisor of the data must be finite and not 0, not {shown}"
    )


@pytest.mark.parametrize(
    ("value", "divisor"), [(np.nan, None), (np.inf, None), (1e300, None), (1.0, 1e-45), (1.0, 1e-60)]
)
def test_values_that_no_file_computes_with(tmp_path, value, divisor):
    values = np.zeros((4, 6))
    values[2, 5] = value
    path = saved(tmp_path, x=values)
    found = message(path, (6,), divisor)
    assert found.startswith(f"Data {str(path)!r} must be finite in float32, but is not in sample ")
