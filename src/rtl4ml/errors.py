"""Exceptions: one base class, one subclass for each kind of thing that can be wrong.

Messages follow one grammar: "X must be Y, not Z". For models they name the node, its operator, what is supported and
what to do.
"""


class Rtl4mlError(Exception):
    """Anything that rtl4ml refuses with a reason; the command line prints its text and exits with status 2."""


class ModelError(Rtl4mlError):
    """The ONNX file, or a node in it, is something that cannot be built exactly."""


class ConfigurationError(Rtl4mlError, ValueError):
    """A setting (reuse, lanes, input format, name, folder) does not fit the network or the machine."""


class ToolError(Rtl4mlError):
    """A tool that the work needs (Verilator, a C++ compiler, Yosys) is missing or failed."""
