"""From an ONNX file to a `Graph`.

`read_model` brings the file into memory and trusts nothing in it; `import_model` makes it canonical. A node goes one of
three ways: what depends on no input is folded to a constant (`folding.py`), a supported operator is converted
(`converters.py` lists them), and every other node is named in one `UnsupportedOperator`.
"""

from intlower.compiler.importer.ends import end_at
from intlower.compiler.importer.model_file import read_model
from intlower.compiler.importer.model_graph import import_model

__all__ = ["end_at", "import_model", "read_model"]
