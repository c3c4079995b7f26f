"""What a node means: one file an operator, with `infer` (formats, ranges) and `evaluate` (NumPy)."""

from rtl4ml.operators.dense import Dense
from rtl4ml.operators.requantize import Requantize

__all__ = ["Dense", "Requantize"]
