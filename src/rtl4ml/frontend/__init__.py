"""ONNX in, integer graph out: the only room that knows onnx, onnxruntime and qonnx."""
