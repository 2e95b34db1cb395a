"""Protobuf messages made from a few lines, so that protobuf's own parsers read what this project writes."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_TYPES = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "float": _TYPES.TYPE_FLOAT,
    "int32": _TYPES.TYPE_INT32,
    "int64": _TYPES.TYPE_INT64,
    "uint32": _TYPES.TYPE_UINT32,
    "string": _TYPES.TYPE_STRING,
    "bool": _TYPES.TYPE_BOOL,
}


def message_classes(
    schema: dict[str, dict[str, str]], enums: dict[str, list[str]]
) -> dict[str, Any]:
    """Return message classes by name.

    Args:
        schema: for each message, its fields: "LABEL TYPE NUMBER", where LABEL is optional, repeated or packed.
        enums: names of the values of enumerations, from 0 on.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name="test.proto", package="test", syntax="proto2"
    )
    for name, values in enums.items():
        # in a message of its own: values of two enumerations may have one name
        enum = file.message_type.add(name=f"Scope{name}").enum_type.add(name=name)
        for number, value in enumerate(values):
            enum.value.add(name=value, number=number)
    for name, fields in schema.items():
        message = file.message_type.add(name=name)
        for field_name, text in fields.items():
            label, kind, number = text.split()
            field = message.field.add(name=field_name, number=int(number))
            field.label = (
                _TYPES.LABEL_OPTIONAL if label == "optional" else _TYPES.LABEL_REPEATED
            )
            if label == "packed":
                field.options.packed = True
            if kind in _SCALARS:
                field.type = _SCALARS[kind]
            else:
                field.type = _TYPES.TYPE_ENUM if kind in enums else _TYPES.TYPE_MESSAGE
                field.type_name = (
                    f".test.Scope{kind}.{kind}" if kind in enums else f".test.{kind}"
                )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))
        for name in schema
    }


# amct_pytorch/proto/scale_offset_record_pytorch.proto, the part that the record file uses.
AMCT = message_classes(
    {
        "SingleLayerRecord": {
            "scale_d": "optional float 1",
            "offset_d": "optional int32 2",
            "scale_w": "repeated float 3",
            "offset_w": "repeated int32 4",
            "shift_bit": "repeated uint32 5",
        },
        "MapFiledEntry": {
            "key": "optional string 1",
            "value": "optional SingleLayerRecord 2",
        },
        "ScaleOffsetRecord": {"record": "repeated MapFiledEntry 1"},
    },
    {},
)

# caffe.proto with Ristretto's quantization_param, the part that exports use.
CAFFE = message_classes(
    {
        "BlobShape": {"dim": "packed int64 1"},
        "BlobProto": {"data": "packed float 5", "shape": "optional BlobShape 7"},
        "InputParameter": {"shape": "repeated BlobShape 1"},
        "ConvolutionParameter": {
            "num_output": "optional uint32 1",
            "group": "optional uint32 5",
            "dilation": "repeated uint32 18",
            "pad_h": "optional uint32 9",
            "pad_w": "optional uint32 10",
            "kernel_h": "optional uint32 11",
            "kernel_w": "optional uint32 12",
            "stride_h": "optional uint32 13",
            "stride_w": "optional uint32 14",
        },
        "InnerProductParameter": {"num_output": "optional uint32 1"},
        "EltwiseParameter": {"operation": "optional EltwiseOp 1"},
        "PoolingParameter": {
            "pool": "optional PoolMethod 1",
            "kernel_h": "optional uint32 5",
            "kernel_w": "optional uint32 6",
            "pad_h": "optional uint32 9",
            "pad_w": "optional uint32 10",
            "stride_h": "optional uint32 7",
            "stride_w": "optional uint32 8",
        },
        "ConcatParameter": {"axis": "optional int32 2"},
        "ReshapeParameter": {"shape": "optional BlobShape 1"},
        "SoftmaxParameter": {"axis": "optional int32 2"},
        "QuantizationParameter": {
            "bw_layer_in": "optional uint32 1",
            "bw_layer_out": "optional uint32 2",
            "bw_params": "optional uint32 3",
            "fl_layer_in": "optional int32 4",
            "fl_layer_out": "optional int32 5",
            "fl_params": "optional int32 6",
            "precision": "optional Precision 7",
            "rounding_scheme": "optional Rounding 8",
            "mant_bits": "optional uint32 9",
            "exp_bits": "optional uint32 10",
        },
        "LayerParameter": {
            "name": "optional string 1",
            "type": "optional string 2",
            "bottom": "repeated string 3",
            "top": "repeated string 4",
            "blobs": "repeated BlobProto 7",
            "input_param": "optional InputParameter 143",
            "convolution_param": "optional ConvolutionParameter 106",
            "inner_product_param": "optional InnerProductParameter 117",
            "eltwise_param": "optional EltwiseParameter 110",
            "pooling_param": "optional PoolingParameter 121",
            "concat_param": "optional ConcatParameter 104",
            "reshape_param": "optional ReshapeParameter 133",
            "softmax_param": "optional SoftmaxParameter 125",
            "quantization_param": "optional QuantizationParameter 150",
        },
        "NetParameter": {"name": "optional string 1", "layer": "repeated LayerParameter 100"},
    },
    {
        "EltwiseOp": ["PROD", "SUM", "MAX"],
        "PoolMethod": ["MAX", "AVE"],
        "Precision": ["DYNAMIC_FIXED_POINT", "MINIFLOAT"],
        "Rounding": ["NEAREST", "STOCHASTIC"],
    },
)
