"""Convolutions and averages as plain loops over integers: what the strict judge must equal."""

import itertools
import math

import numpy as np


def padding(attributes, image, kernel):
    """(begins, ends) of a Conv or pooling node by the words of the ONNX specification."""
    rank = len(image)
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    pads = attributes.get("pads", [0] * 2 * rank)
    how = attributes.get("auto_pad", "NOTSET")
    if how == "VALID":
        return [0] * rank, [0] * rank
    if how == "NOTSET":
        return pads[:rank], pads[rank:]
    totals = [
        max((math.ceil(n / s) - 1) * s + (k - 1) * d + 1 - n, 0)
        for n, k, s, d in zip(image, kernel, strides, dilations, strict=True)
    ]
    halves, rest = [t // 2 for t in totals], [t - t // 2 for t in totals]
    return (halves, rest) if how == "SAME_UPPER" else (rest, halves)


def windows(attributes, image, kernel, outputs):
    """For each output position its taps: [(tap, position in the image or None)]."""
    rank = len(image)
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    begins, _ = padding(attributes, image, kernel)
    for place in np.ndindex(*outputs):
        taps = []
        for tap in np.ndindex(*kernel):
            at = [p * s + t * d - b for p, s, t, d, b in zip(place, strides, tap, dilations, begins, strict=True)]
            inside = all(0 <= a < n for a, n in zip(at, image, strict=True))
            taps.append((tap, tuple(at) if inside else None))
        yield place, taps


def convolve(x, w, attributes, outputs):
    """Sums of one image x [c, *image] with w [o, c / groups, *kernel]; attributes as in the file."""
    groups = attributes.get("group", 1)
    each = w.shape[0] // groups
    y = np.zeros((w.shape[0], *outputs), np.int64)
    for place, taps in windows(attributes, x.shape[1:], w.shape[2:], outputs):
        for o in range(w.shape[0]):
            first = o // each * w.shape[1]
            for (tap, at), c in itertools.product(taps, range(w.shape[1])):
                if at is not None:
                    y[(o, *place)] += int(x[(first + c, *at)]) * int(w[(o, c, *tap)])
    return y


def convolve_transposed(x, w, attributes, begins, outputs):
    """Sums of one image x [c, *image] with w [c, o / groups, *kernel], scattered."""
    rank = x.ndim - 1
    groups = attributes.get("group", 1)
    strides = attributes.get("strides", [1] * rank)
    dilations = attributes.get("dilations", [1] * rank)
    each = x.shape[0] // groups
    y = np.zeros((w.shape[1] * groups, *outputs), np.int64)
    for c, o in itertools.product(range(x.shape[0]), range(w.shape[1])):
        for place, tap in itertools.product(np.ndindex(*x.shape[1:]), np.ndindex(*w.shape[2:])):
            at = [p * s + t * d - b for p, s, t, d, b in zip(place, strides, tap, dilations, begins, strict=True)]
            if all(0 <= a < n for a, n in zip(at, outputs, strict=True)):
                y[(c // each * w.shape[1] + o, *at)] += int(x[(c, *place)]) * int(w[(c, o, *tap)])
    return y
