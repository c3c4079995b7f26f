"""The judges: what an ONNX file means, computed by others' code and independent of the integer graph.

`Judge` runs the file node by node as `qonnx.core.onnx_exec.execute_onnx` does; `StrictJudge` runs the same graph with
every quantized product computed from integer codes and rounded once.
"""

from rtl4ml.frontend.judge.executor import Judge, Progress
from rtl4ml.frontend.judge.grids import Grid
from rtl4ml.frontend.judge.strict import StrictJudge

__all__ = ["Grid", "Judge", "Progress", "StrictJudge"]
