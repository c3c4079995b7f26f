import numpy as np
import pytest

from rtl4ml.hdl.window_plan import Level, WindowPlan
from rtl4ml.hdl.window_reads import WindowReads
from tests.hdl.bench import refuses


def reads_of(
    shape,
    words,
    readers,
    *,
    lanes=1,
    kernel=(3, 3),
    stride=(1, 1),
    dilation=(1, 1),
    pads=(1, 1, 1, 1),
    seed=0,
    fill=None,
):
    """Windows over (height, width, channels), whose readers read anything in two passes or one."""
    height, width, channels = shape
    generator = np.random.default_rng(seed)
    reach = tuple((size - 1) * step for size, step in zip(kernel, dilation, strict=True))
    rows, columns = (
        (size + before + after - extent - 1) // by + 1
        for size, before, after, extent, by in zip(shape[:2], pads[:2], pads[2:], reach, stride, strict=True)
    )
    window = WindowPlan(
        height,
        width,
        channels // lanes,
        lanes,
        start=(-pads[0], -pads[1], 0),
        levels=(Level(rows, stride[0]), Level(columns, 0, stride[1]), Level(words)),
        unit=2,
        fill=generator.integers(-8, 8, (channels // lanes, lanes)) if fill is None else np.full((), fill),
        reach=reach,
    )
    tables = [
        generator.integers(0, size, (words, readers)) * step
        for size, step in zip((*kernel, channels // lanes), (*dilation, 1), strict=True)
    ]
    lengths = np.array([words - words // 2, words // 2] if words > 1 else [1])
    return WindowReads(window, *tables, lengths)


READS = {
    "3x3": reads_of((4, 5, 2), 5, 2),
    "two lanes": reads_of((4, 5, 4), 3, 6, lanes=2),
    "a word a window": reads_of((3, 4, 1), 1, 3),
    "stride 2": reads_of((5, 6, 1), 4, 1, stride=(2, 2)),
    "dilation": reads_of((7, 6, 1), 4, 2, kernel=(2, 3), dilation=(3, 2), pads=(0, 1, 2, 3)),
    "no padding": reads_of((4, 5, 3), 6, 3, lanes=3, pads=(0, 0, 0, 0)),
    "one code around": reads_of((3, 3, 2), 4, 2, kernel=(2, 2), pads=(2, 1, 1, 2), fill=-3),
    "pixels alone": reads_of((3, 4, 4), 3, 2, kernel=(1, 1), pads=(0, 0, 0, 0)),
    "a row of the image": reads_of((9, 1, 2), 4, 2, kernel=(4, 1), stride=(2, 1), pads=(1, 0, 2, 0)),
}


@pytest.mark.parametrize("name", READS)
def test_what_is_read(name):
    """Pixel by pixel, from an image with its padding around it."""
    reads = READS[name]
    window = reads.window
    frames = np.random.default_rng(1).integers(-8, 8, (2, window.words_in, window.lanes))
    image = frames.reshape(2, window.height, window.width, window.chunks, window.lanes)
    around = 8
    fill = np.broadcast_to(window.fill, (window.chunks, window.lanes))
    padded = np.broadcast_to(fill, (2, window.height + 2 * around, window.width + 2 * around, *fill.shape)).copy()
    padded[:, around:-around, around:-around] = image
    found = reads.issued(frames)
    seen = set()
    for number, (row, column, _) in enumerate(window.positions(2).tolist()):
        for word in range(len(reads.rows)):
            for r in range(reads.readers):
                at = row + reads.rows[word, r] + around, column + reads.columns[word, r] + around
                expected = padded[:, at[0], at[1], reads.chunks[word, r], r % window.lanes]
                assert np.array_equal(found[:, number, word, r], expected)
                if not (around <= at[0] < around + window.height and around <= at[1] < around + window.width):
                    seen.add(r)
    assert sorted(seen) == np.flatnonzero(reads.fills).tolist()
    assert reads.latency == 1 + bool(seen)
    assert np.array_equal(reads.issued(frames, 1, 2), found[:, 1:3])


def test_tables_that_do_not_fit():
    good = READS["3x3"]
    tables = good.rows, good.columns, good.chunks

    def refused(message, window=good.window, tables=tables, lengths=good.lengths):
        refuses(lambda: WindowReads(window, *tables, lengths), message)

    refused(
        "Tables of readers must be of 5 words and a multiple of 1 readers, not (4, 2), (4, 2), (4, 2)",
        tables=[table[1:] for table in tables],
    )
    refused("Passes of a window must be of its 5 words, not of [3, 3]", lengths=np.array([3, 3]))
    refused(
        "Readers of windows must read from (3, 3, 2) places, not from (9, 3, 2)",
        tables=(np.full_like(good.rows, 8), good.columns * 0 + 2, good.chunks * 0 + 1),
    )
    taps = WindowPlan(4, 5, 2, 1, taps=(3, 3), levels=(Level(5),))
    refused("Readers of windows must have a plan of single taps in a single bank, not others", window=taps)
