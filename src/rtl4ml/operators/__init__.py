"""What a node means: one file an operator, with `infer` (formats, ranges) and `evaluate` (NumPy)."""

from rtl4ml.operators.add import Add
from rtl4ml.operators.concat import Concat
from rtl4ml.operators.conv import Conv
from rtl4ml.operators.dense import Dense, WeightLimits
from rtl4ml.operators.extreme import Extreme
from rtl4ml.operators.gather import Gather
from rtl4ml.operators.multiply import Multiply
from rtl4ml.operators.pool import Pool
from rtl4ml.operators.requantize import Requantize
from rtl4ml.operators.top import Top
from rtl4ml.operators.window import Window

__all__ = [
    "Add",
    "Concat",
    "Conv",
    "Dense",
    "Extreme",
    "Gather",
    "Multiply",
    "Pool",
    "Requantize",
    "Top",
    "WeightLimits",
    "Window",
]
