"""Detectors that others trained: ONNX files that score here and train elsewhere."""
