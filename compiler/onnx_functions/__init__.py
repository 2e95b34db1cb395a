"""The integer operators as ONNX functions: the numeric rules written a second time, for onnxruntime to run."""
