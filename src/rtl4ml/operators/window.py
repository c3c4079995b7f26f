"""Window: which pixels of an image a sliding kernel reads."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtl4ml.errors import ModelError
from rtl4ml.formats import Codes


@dataclass(frozen=True)
class Window:
    """A kernel that slides over an image of rows and columns; what lies outside the image is padding.

    Parameters:
        in_height: rows of the image.
        in_width: columns.
        kernel: (rows, columns) of taps.
        stride: between neighbouring outputs.
        dilation: between neighbouring taps.
        pads: (top, left, bottom, right), none negative.
    """

    in_height: int
    in_width: int
    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ModelError: one has no meaning, or the kernel is larger than image and padding.
        """
        positive = (self.in_height, self.in_width, *self.kernel, *self.stride, *self.dilation)
        if min(positive) < 1 or min(self.pads) < 0:
            raise ModelError(
                "Sizes, strides and dilations of a window must be 1 or more and pads 0 or more, not "
                f"{self.in_height} x {self.in_width}, kernel {self.kernel}, strides {self.stride}, dilations "
                f"{self.dilation}, pads {self.pads}"
            )
        if self.out_height < 1 or self.out_width < 1:
            raise ModelError(
                f"Kernel of a window must fit its padded image of {self.in_height} x {self.in_width}, not reach over "
                f"{self.reach[0]} x {self.reach[1]}"
            )

    @classmethod
    def whole(cls, height: int, width: int) -> "Window":
        """The window that is the whole image: one output."""
        return cls(height, width, (height, width))

    @property
    def reach(self) -> tuple[int, int]:
        """Rows and columns from the kernel's first tap to its last, both counted."""
        (rows, columns), (dy, dx) = self.kernel, self.dilation
        return (rows - 1) * dy + 1, (columns - 1) * dx + 1

    @property
    def out_height(self) -> int:
        """Rows of outputs."""
        top, _, bottom, _ = self.pads
        return (self.in_height + top + bottom - self.reach[0]) // self.stride[0] + 1

    @property
    def out_width(self) -> int:
        """Columns of outputs."""
        _, left, _, right = self.pads
        return (self.in_width + left + right - self.reach[1]) // self.stride[1] + 1

    @property
    def pixels_in(self) -> int:
        """Pixels of the image."""
        return self.in_height * self.in_width

    @property
    def pixels_out(self) -> int:
        """Outputs."""
        return self.out_height * self.out_width

    @cached_property
    def taps(self) -> Codes:
        """Pixel under each tap of each output, int64 (pixels_out, taps); -1 for padding."""
        rows, columns = (
            np.arange(outputs)[:, None] * step - pad + np.arange(taps)[None, :] * dilation
            for outputs, step, pad, taps, dilation in zip(
                (self.out_height, self.out_width), self.stride, self.pads, self.kernel, self.dilation, strict=False
            )
        )
        rows, columns = rows[:, None, :, None], columns[None, :, None, :]
        inside = (rows >= 0) & (rows < self.in_height) & (columns >= 0) & (columns < self.in_width)
        pixels = np.where(inside, rows * self.in_width + columns, -1)
        return pixels.reshape(self.pixels_out, -1)
