"""Networks that pytorchcv builds: one small variant of each family, with random weights."""

from __future__ import annotations

from importlib import import_module

import onnx
import torch

from benchmarks.zoo.model import ZooModel
from benchmarks.zoo.weights import export, last_pool_made_global, settle

# (module of pytorchcv.models, function, height and width of the image)
# Images are smaller than usual where the network allows it: what is proved does not depend on it.
FAMILIES: tuple[tuple[str, str, int], ...] = (
    ("airnet", "airnet50_1x64d_r2", 64),
    ("airnext", "airnext50_32x4d_r2", 64),
    ("alexnet", "alexnet", 224),
    ("bagnet", "bagnet9", 64),
    ("bamresnet", "bam_resnet18", 64),
    ("bisenet", "bisenet_resnet18_celebamaskhq", 64),
    ("bninception", "bninception", 96),
    ("cbamresnet", "cbam_resnet18", 64),
    ("centernet", "centernet_resnet18_voc", 64),
    ("cgnet", "cgnet_cityscapes", 64),
    ("channelnet", "channelnet", 64),
    ("condensenet", "condensenet74_c8_g8", 64),
    ("contextnet", "ctxnet_cityscapes", 128),
    ("dabnet", "dabnet_cityscapes", 64),
    ("danet", "danet_resnetd50b_cityscapes", 64),
    ("darknet", "darknet_tiny", 96),
    ("darknet53", "darknet53", 64),
    ("darts", "darts", 64),
    ("deeplabv3", "deeplabv3_resnetd50b_voc", 64),
    ("densenet", "densenet121", 64),
    ("densenet_cifar", "densenet40_k12_bc_cifar10", 32),
    ("diaresnet", "diaresnet10", 64),
    ("dicenet", "dicenet_wd5", 224),
    ("diracnetv2", "diracnet18v2", 64),
    ("dla", "dla46xc", 64),
    ("dpn", "dpn68", 224),
    ("drn", "drnd22", 64),
    ("edanet", "edanet_cityscapes", 64),
    ("efficientnet", "efficientnet_b0", 64),
    ("efficientnetedge", "efficientnet_edge_small_b", 64),
    ("enet", "enet_cityscapes", 64),
    ("erfnet", "erfnet_cityscapes", 64),
    ("esnet", "esnet_cityscapes", 64),
    ("espcnet", "espcnet_cityscapes", 64),
    ("espnetv2", "espnetv2_wd2", 64),
    ("fastscnn", "fastscnn_cityscapes", 192),
    ("fbnet", "fbnet_cb", 64),
    ("fcn8sd", "fcn8sd_resnetd50b_voc", 64),
    ("fdmobilenet", "fdmobilenet_wd4", 96),
    ("fishnet", "fishnet99", 64),
    ("fpenet", "fpenet_cityscapes", 64),
    ("fractalnet_cifar", "fractalnet_cifar10", 32),
    ("ghostnet", "ghostnet", 64),
    ("hardnet", "hardnet39ds", 64),
    ("hrnet", "hrnet_w18_small_v1", 64),
    ("ibnbresnet", "ibnb_resnet50", 64),
    ("ibndensenet", "ibn_densenet121", 64),
    ("ibnresnet", "ibn_resnet50", 64),
    ("icnet", "icnet_resnetd50b_cityscapes", 192),
    ("igcv3", "igcv3_wd4", 64),
    ("inceptionresnetv1", "inceptionresnetv1", 96),
    ("inceptionv3", "inceptionv3", 96),
    ("inceptionv4", "inceptionv4", 96),
    ("lednet", "lednet_cityscapes", 64),
    ("lffd", "lffd20x5s320v2_widerface", 128),
    ("linknet", "linknet_cityscapes", 64),
    ("lwopenpose_cmupan", "lwopenpose2d_mobilenet_cmupan_coco", 64),
    ("menet", "menet108_8x1_g3", 64),
    ("mixnet", "mixnet_s", 64),
    ("mnasnet", "mnasnet_small", 64),
    ("mobilenet", "mobilenet_wd4", 64),
    ("mobilenetb", "mobilenetb_wd4", 64),
    ("mobilenetv2", "mobilenetv2_wd4", 64),
    ("mobilenetv3", "mobilenetv3_small_wd2", 64),
    ("nasnet", "nasnet_4a1056", 96),
    ("nin_cifar", "nin_cifar10", 32),
    ("octresnet", "octresnet10_ad2", 64),
    ("peleenet", "peleenet", 64),
    ("polynet", "polynet", 96),
    ("preresnet", "preresnet18_wd4", 64),
    ("preresnet_cifar", "preresnet20_cifar10", 32),
    ("prnet", "prnet", 256),
    ("proxylessnas", "proxylessnas_cpu", 64),
    ("pspnet", "pspnet_resnetd50b_voc", 96),
    ("pyramidnet_cifar", "pyramidnet110_a48_cifar10", 32),
    ("regnet", "regnetx002", 64),
    ("regnet", "regnety002", 64),
    ("resattnet", "resattnet56", 64),
    ("resnesta", "resnestabc14", 64),
    ("resnet", "resnet18", 64),
    ("resnet_cifar", "resnet20_cifar10", 32),
    ("resneta", "resneta10", 64),
    ("resnetd", "resnetd50b", 64),
    ("resnext", "resnext14_16x4d", 64),
    ("rir_cifar", "rir_cifar10", 32),
    ("scnet", "scnet50", 128),
    ("segnet", "segnet_cityscapes", 64),
    ("selecsls", "selecsls42", 64),
    ("senet", "senet16", 64),
    ("sepreresnet", "sepreresnet10", 64),
    ("seresnet", "seresnet10", 64),
    ("seresnext", "seresnext50_32x4d", 64),
    ("shakeshakeresnet_cifar", "shakeshakeresnet20_2x16d_cifar10", 32),
    ("sharesnet", "sharesnet18", 64),
    ("shufflenet", "shufflenet_g3_wd4", 64),
    ("shufflenetv2", "shufflenetv2_wd2", 64),
    ("shufflenetv2b", "shufflenetv2b_wd2", 64),
    ("simplepose_coco", "simplepose_resnet18_coco", 64),
    ("simpleposemobile_coco", "simplepose_mobile_mobilenetv2b_w1_coco", 64),
    ("sinet", "sinet_cityscapes", 128),
    ("sknet", "sknet50", 64),
    ("spnasnet", "spnasnet", 64),
    ("sqnet", "sqnet_cityscapes", 64),
    ("squeezenet", "squeezenet_v1_1", 96),
    ("squeezenext", "sqnxt23_w1", 64),
    ("superpointnet", "superpointnet", 64),
    ("tresnet", "tresnet_m", 64),
    ("unet", "unet_cityscapes", 64),
    ("vgg", "bn_vgg11b", 224),
    ("vovnet", "vovnet27s", 64),
    ("wrn_cifar", "wrn16_10_cifar10", 32),
    ("xception", "xception", 299),
    ("xdensenet_cifar", "xdensenet40_2_k24_bc_cifar10", 32),
    ("zfnet", "zfnet", 224),
)

# The older exporter writes them without the sizes that it does not know while it traces, or fails over them.
DYNAMO = frozenset({"enet", "icnet", "segnet", "tresnet"})

# The rest have images of three channels.
GRAY = frozenset({"superpointnet"})

# Some end in a search for maxima, which is no network any more.
HEATMAPS = frozenset({"centernet", "simplepose_coco", "simpleposemobile_coco"})


def build(module: str, function: str, size: int) -> onnx.ModelProto:
    """Return a network of pytorchcv as ONNX.

    Args:
        module: of pytorchcv.models; imported by itself, since the package's list of all models needs torchvision.
        function: that makes the network.
        size: height and width of its image.
    """
    make = getattr(import_module(f"pytorchcv.models.{module}"), function)
    options = {"return_heatmap": True} if module in HEATMAPS else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        try:
            network = make(in_size=(size, size), **options)
        except (AssertionError, TypeError):  # it is made for one size, and runs with others
            network = make(**options)
        for name, buffer in network.named_buffers():
            if name.endswith(".index"):  # chosen channels, all 0 before training
                buffer.copy_(torch.randperm(len(buffer)))
    shape = (1 if module in GRAY else 3, size, size)
    settled = settle(last_pool_made_global(network), shape)
    if module in DYNAMO:
        return export(settled, shape, opset=18, dynamo=True)
    return export(settled, shape)


def _entry(module: str, function: str, size: int) -> ZooModel:
    return ZooModel(
        name=f"pytorchcv-{function}",
        package="pytorchcv",
        origin=f"random weights, {size}x{size}",
        make=lambda: build(module, function, size),
    )


def family_models() -> tuple[ZooModel, ...]:
    """Return the zoo's networks of pytorchcv."""
    return tuple(_entry(*family) for family in FAMILIES)
