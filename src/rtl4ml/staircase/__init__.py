"""Integer functions between an accumulator and the next quantizer, and the forms in which hardware computes them."""

from rtl4ml.staircase.affine import AffineForm, fit_affine
from rtl4ml.staircase.difference import Difference, difference
from rtl4ml.staircase.forms import (
    ConstantForm,
    Form,
    StepForm,
    TableForm,
    ThresholdForm,
    fit_constant,
    fit_steps,
    fit_table,
    fit_thresholds,
)
from rtl4ml.staircase.function import Staircase
from rtl4ml.staircase.shift import ShiftForm, fit_shift

__all__ = [
    "AffineForm",
    "ConstantForm",
    "Difference",
    "Form",
    "ShiftForm",
    "Staircase",
    "StepForm",
    "TableForm",
    "ThresholdForm",
    "difference",
    "fit_affine",
    "fit_constant",
    "fit_shift",
    "fit_steps",
    "fit_table",
    "fit_thresholds",
]
