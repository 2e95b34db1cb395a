"""The artifact: one ONNX file that is the program, for us and for any ONNX runtime.

Each instruction is a call to a function of the file itself, in the domain "intlower" and named by its kernel, whose body is
standard integer ONNX (`onnx_functions/`). Constants are initializers; what ONNX has no place for (grids, origin, host
steps) is JSON under the metadata key "intlower".

A file is untrusted until it is read. The program is rebuilt from its parts, each checked before it is used, and then
written again: the file must equal what this version writes, so nothing is in it that was not looked at.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
    helper,
)

from intlower.compiler.artifact_metadata import (
    METADATA_KEY,
    Metadata,
    metadata_text,
    parse_metadata,
)
from intlower.compiler.constant import Constant
from intlower.compiler.errors import ArtifactError, CalibrationError
from intlower.compiler.files import write_atomically
from intlower.compiler.instruction_checker import LARGEST_TENSOR
from intlower.compiler.onnx_functions.body import DOMAIN, OPSET, tensor_type
from intlower.compiler.onnx_functions.library import function_for, function_name
from intlower.compiler.program import Attribute, Instruction, IntegerProgram, Tensor
from intlower.kernels.signature import ElementType, KernelKey

PRODUCER = "intlower"
# Functions with attributes need 8; onnxruntime 1.20, the oldest that we run on, reads up to 10.
IR_VERSION = 9
# Protocol buffers hold no more.
LARGEST_FILE = (1 << 31) - 1

_NOT_OURS = "compile a model first: intlower compile MODEL.onnx --target NAME"
_MADE_ANEW = "compile the model again with this version of intlower"


def to_model(program: IntegerProgram) -> ModelProto:
    """Return the program as an ONNX model.

    Raises:
        ArtifactError: ONNX has no exact arithmetic for a kernel's element types.
    """
    return _model(program, version(PRODUCER))


def serialise(program: IntegerProgram) -> bytes:
    """Return the artifact's bytes: the same for equal programs."""
    data: bytes = to_model(program).SerializeToString(deterministic=True)
    return data


def save(program: IntegerProgram, path: Path) -> int:
    """Write a program to a file, whole or not at all, and return the number of bytes.

    Raises:
        ArtifactError: the file cannot be written.
    """
    data = serialise(program)
    try:
        write_atomically(path, data)
    except OSError as error:
        raise ArtifactError(
            f"cannot write {path}: {error.strerror or error}",
            "give the name of a file in an existing folder that you may write to",
        ) from error
    return len(data)


def open_artifact(path: Path) -> IntegerProgram:
    """Return the program in a file; the inverse of `save`.

    Raises:
        ArtifactError: there is no such file, or it is not an artifact as this version writes it.
    """
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ArtifactError(f"{path} is larger than an ONNX file can be", _NOT_OURS)
        data = path.read_bytes()
    except OSError as error:
        raise ArtifactError(
            f"cannot read {path}: {error.strerror or error}", "check the path"
        ) from error
    try:
        return parse(data)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}", error.hint) from error


def parse(data: bytes) -> IntegerProgram:
    """Return the program in an artifact's bytes; the inverse of `serialise`.

    Raises:
        ArtifactError: the bytes are not an artifact as this version writes it.
    """
    try:
        model = ModelProto.FromString(data)
    except Exception as error:  # DecodeError of protobuf, which onnx does not pass on by name
        raise ArtifactError("not an ONNX file, or a truncated one", _NOT_OURS) from error
    try:
        program = _program(model)
        _require_equal(model, _model(program, model.producer_version))
    except (CalibrationError, ValueError) as error:
        # No grid, no kernel's name, or text that is not UTF-8.
        raise ArtifactError(f"altered: {error}", _MADE_ANEW) from error
    except ArtifactError as error:
        raise ArtifactError(str(error), error.hint or _MADE_ANEW) from error
    return program


def _model(program: IntegerProgram, producer_version: str) -> ModelProto:
    # In place: `helper.make_graph` and `helper.make_model` each copy what they are given, with all weights.
    model = ModelProto(
        ir_version=IR_VERSION,
        producer_name=PRODUCER,
        producer_version=producer_version,
        doc_string=f"An integer program for {program.target}; every tensor holds codes.",
        opset_import=[helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)],
    )
    graph = model.graph
    graph.name = program.target
    taken = set(program.tensors)
    functions = {}
    for instruction in program.instructions:
        constants = []
        for name, constant in instruction.constants.items():
            constants.append(_unique(f"{instruction.name}.{name}", taken))
            _add_initializer(graph, constants[-1], constant)
        node = _add_node(graph, instruction, constants)
        functions[node.op_type] = (instruction.kernel, len(instruction.inputs))
    ends = {*program.inputs, *program.outputs}
    middle = [i.output for i in program.instructions if i.output not in ends]
    graph.input.extend(_values(program, program.inputs))
    graph.output.extend(_values(program, program.outputs))
    graph.value_info.extend(_values(program, middle))
    model.functions.extend(function_for(*functions[name]) for name in sorted(functions))
    helper.set_model_props(model, {METADATA_KEY: metadata_text(program)})
    return model


def _add_node(
    graph: GraphProto, instruction: Instruction, constants: Sequence[str]
) -> NodeProto:
    node: NodeProto = graph.node.add(
        op_type=function_name(instruction.kernel, len(instruction.inputs)),
        domain=DOMAIN,
        name=instruction.name,
        input=[*instruction.inputs, *constants],
        output=[instruction.output],
    )
    for name, value in instruction.attributes.items():
        if isinstance(value, int):
            node.attribute.append(AttributeProto(name=name, type=AttributeProto.INT, i=value))
        else:
            node.attribute.append(
                AttributeProto(name=name, type=AttributeProto.INTS, ints=value)
            )
    return node


def _add_initializer(graph: GraphProto, name: str, constant: Constant) -> None:
    array = constant.array
    little_endian = array.astype(array.dtype.newbyteorder("<"), copy=False)
    graph.initializer.add(
        name=name,
        data_type=tensor_type(array.dtype.name),
        dims=array.shape,
        raw_data=little_endian.tobytes(),
    )


def _unique(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "'"
    taken.add(name)
    return name


def _values(program: IntegerProgram, names: Sequence[str]) -> Iterator[ValueInfoProto]:
    for name in names:
        tensor = program.tensors[name]
        yield helper.make_tensor_value_info(
            name,
            tensor_type(tensor.grid.element.dtype_name),
            ["N" if d is None else d for d in tensor.shape],
        )


def _program(model: ModelProto) -> IntegerProgram:
    """Rebuild the program from a model's parts, each checked before it is used."""
    texts = {entry.key: entry.value for entry in model.metadata_props}
    if METADATA_KEY not in texts:
        raise ArtifactError("an ONNX file, but not an artifact of intlower", _NOT_OURS)
    metadata = parse_metadata(texts[METADATA_KEY])
    graph = model.graph
    tensors = _tensors(graph, metadata)
    constants = {tensor.name: _constant(tensor) for tensor in graph.initializer}
    return IntegerProgram(
        target=metadata.target,
        inputs=tuple(value.name for value in graph.input),
        outputs=tuple(value.name for value in graph.output),
        tensors=tensors,
        instructions=tuple(_instruction(node, constants, metadata) for node in graph.node),
        host=metadata.host,
        origin=metadata.origin,
    )


def _tensors(graph: GraphProto, metadata: Metadata) -> dict[str, Tensor]:
    tensors = {}
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.name not in metadata.grids:
            raise ArtifactError(f"tensor {value.name!r} has no grid")
        shape = tuple(
            None if dimension.dim_param else dimension.dim_value
            for dimension in value.type.tensor_type.shape.dim
        )
        size = math.prod(1 if d is None else d for d in shape)
        if not shape or not 1 <= size <= LARGEST_TENSOR:
            raise ArtifactError(f"tensor {value.name!r} has the impossible shape {shape}")
        grid = metadata.grids[value.name]
        tensors[value.name] = Tensor(name=value.name, shape=shape, grid=grid)
    return tensors


def _constant(tensor: TensorProto) -> Constant:
    """Return an initializer's array; its size is what the file holds, not what it claims."""
    # Biases of sums past 32 bits have 64.
    names = (*(element.dtype_name for element in ElementType), "int64")
    codes = {tensor_type(name): name for name in names}
    if tensor.data_type not in codes:
        raise ArtifactError(f"constant {tensor.name!r} is not of an integer type")
    if tensor.data_location != TensorProto.DEFAULT or tensor.external_data:
        raise ArtifactError(f"constant {tensor.name!r} is kept outside the file")
    dtype = np.dtype(codes[tensor.data_type])
    shape = tuple(tensor.dims)
    if min(shape, default=1) < 1 or math.prod(shape) * dtype.itemsize != len(tensor.raw_data):
        raise ArtifactError(
            f"constant {tensor.name!r} of shape {list(shape)} has {len(tensor.raw_data)} bytes"
        )
    stored = np.frombuffer(tensor.raw_data, dtype.newbyteorder("<"))
    return Constant(stored.astype(dtype).reshape(shape))


def _instruction(
    node: NodeProto, constants: Mapping[str, Constant], metadata: Metadata
) -> Instruction:
    kernel = KernelKey.parse(
        str(node.op_type)
    )  # protobuf gives bytes that are not UTF-8 as bytes
    names = kernel.schema.constants
    arity = len(node.input) - len(names)
    kernel = kernel.with_variant("")
    if arity < 1 or function_name(kernel, arity) != node.op_type:
        raise ArtifactError(
            f"{node.name}: {node.op_type} does not take {len(node.input)} inputs"
        )
    missing = [name for name in node.input[arity:] if name not in constants]
    if missing or len(node.output) != 1:
        raise ArtifactError(f"{node.name}: its constants or its output are missing")
    return Instruction(
        name=node.name,
        kernel=kernel,
        inputs=tuple(node.input[:arity]),
        output=node.output[0],
        constants={
            name: constants[source]
            for name, source in zip(names, node.input[arity:], strict=True)
        },
        attributes=dict(_attributes(node)),
        weight_grid=metadata.weight_grids.get(node.name),
        host=node.name in metadata.on_host,
    )


def _attributes(node: NodeProto) -> Iterator[tuple[str, Attribute]]:
    for attribute in node.attribute:
        if attribute.type == AttributeProto.INT:
            yield attribute.name, attribute.i
        else:
            yield attribute.name, tuple(attribute.ints)


def _require_equal(actual: ModelProto, expected: ModelProto) -> None:
    """Prove that a file is what its program is written as.

    Raises:
        ArtifactError: it is not; the message names the first part that differs.
    """
    functions = {function.name: function for function in expected.functions}
    for function in actual.functions:
        if functions.get(function.name) != function:
            raise ArtifactError(
                f"altered: function {function.name!r} is not what this version writes"
            )
    for node, same in zip(actual.graph.node, expected.graph.node, strict=True):
        if node != same:
            raise ArtifactError(f"altered: node {node.name!r} is not what its instruction says")
    if list(actual.metadata_props) != list(expected.metadata_props):
        raise ArtifactError("altered: its constants or its metadata are not what was written")
    if actual != expected:
        raise ArtifactError("altered: something is in the file that its program does not need")
