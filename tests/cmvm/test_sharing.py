import numpy as np

from rtl4ml.cmvm.digits import Bounds, Row, split_columns
from rtl4ml.cmvm.sharing import Sharing


def share(matrix, levels=20):
    """Runs the search; returns the rows and the columns as vectors of the inputs again."""
    n = matrix.shape[0]
    rows = [Row(0, 15, 0, unit) for unit in np.eye(n, dtype=np.int64)]
    columns = split_columns(matrix)
    room = [(1 << levels) - column.load(rows) for column in columns]
    Sharing(rows, columns, room, Bounds(np.zeros(n, np.int64), np.full(n, 15))).run()
    for column, rest in zip(columns, room, strict=True):
        assert rest >= 0
        assert column.load(rows) + rest == 1 << levels
    vectors = [
        sum((sign * rows[row].coefficients << power for row, power, sign in column.digits()), np.zeros(n, np.int64))
        for column in columns
    ]
    return rows, columns, np.stack(vectors, axis=1)


def test_the_product_stays_the_same():
    for seed in range(6):
        matrix = np.random.default_rng(seed).integers(-40, 40, (9, 7))
        rows, _, product = share(matrix)
        np.testing.assert_array_equal(product, matrix)
        for row in rows[9:]:
            lower, upper = rows[row.lower], rows[row.upper]
            assert row.depth == max(lower.depth, upper.depth) + 1
            np.testing.assert_array_equal(
                row.coefficients, lower.coefficients + row.sign * (upper.coefficients << row.shift)
            )


def test_no_pattern_is_left_twice():
    rows, columns, _ = share(np.random.default_rng(4).integers(-20, 20, (8, 10)))
    seen = set()
    for number, column in enumerate(columns):
        digits = sorted((power, row, sign) for row, power, sign in column.digits())
        for i, (power, row, sign) in enumerate(digits):
            for other_power, other, other_sign in digits[i + 1 :]:
                key = row, other, other_power - power, sign * other_sign
                if row != other:
                    assert key not in seen or key in {k for k in seen if k[0] == k[1]}, (number, key)
                    seen.add(key)
    assert len(rows) > 8


def test_a_pattern_within_one_row():
    # 85 = 1 + 4 + 16 + 64 holds 1 + 4 twice.
    rows, columns, product = share(np.array([[85]]))
    assert product.tolist() == [[85]]
    assert len(rows) == 2
    assert len(columns[0].digits()) == 2


def test_depth_is_bounded():
    matrix = np.random.default_rng(5).integers(-100, 100, (4, 12))
    _, columns, product = share(matrix, levels=4)
    np.testing.assert_array_equal(product, matrix)
    assert len(columns) == 12


def test_nothing_to_share():
    rows, _, product = share(np.zeros((3, 2), np.int64))
    assert len(rows) == 3
    assert not product.any()
