"""The network of `intlower demo` and its held-out images, both made by `benchmarks/train_digits.py`.

`digits.onnx` takes `image`, float32 [N, 1, 8, 8], and gives `logits`, float32 [N, 10]; `digits.npz` holds `image` and
`labels` of scikit-learn's handwritten digits that the training did not see.
"""
