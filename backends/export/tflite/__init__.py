"""The .tflite flatbuffer of LiteRT, TFLite Micro and CMSIS-NN."""

from intlower.backends.export.tflite.export import FILE_NAME, export_tflite

__all__ = ["FILE_NAME", "export_tflite"]
