"""PyTorch's side of `compare.py --baselines`: the reference implementations of the models that the papers compare with.

Sizes and dropouts are those that this library's names stand for. What no package has is written out in tests/goldens/models,
where the same classes, of a few channels, are the goldens' source.
"""

import sys
from pathlib import Path

from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "goldens" / "models"))

# What the papers say of their own runs: at every output of attention and in every MLP.
DROPOUT = 0.5


def resnet(layers, classes, size):
    from torchvision.models import resnet as package

    model = getattr(package, f"resnet{layers}")(num_classes=classes)
    if size < 96:
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    return model


def mobilenet(classes, size):
    from torchvision.models import MobileNetV2

    return MobileNetV2(classes, width_mult=2.0)


def convmixer(classes, size):
    from timm.models.convmixer import ConvMixer

    return ConvMixer(256, 8, kernel_size=8, patch_size=1 if size < 64 else 2, num_classes=classes)


def fnet(classes, size):
    from vision_xformer import FNet2D

    return FNet2D(num_classes=classes, dim=128, depth=5, mlp_dim=256, dropout=DROPOUT)


def mlp_mixer(classes, size):
    from mlp_mixer_pytorch import MLPMixer

    sizes = dict(image_size=size, channels=3, patch_size=size // 8, dim=512, depth=8, num_classes=classes)
    return MLPMixer(**sizes, expansion_factor=0.5, expansion_factor_token=0.5, dropout=DROPOUT)


def mlp_mixer_2d(classes, size):
    from mlp_mixer_2d import Mixer

    return Mixer(128, 5, size, classes, DROPOUT)


def vit(classes, size):
    from timm.models.vision_transformer import VisionTransformer

    sizes = dict(img_size=size, patch_size=size // 32, embed_dim=128, depth=4, num_heads=4, mlp_ratio=2)
    return VisionTransformer(**sizes, num_classes=classes, qkv_bias=False, norm_layer=nn.LayerNorm, proj_drop_rate=DROPOUT)


def vit_lite(classes, size):
    from cct import cct

    tokenizer = cct.Tokenizer(4, 4, 0, n_conv_layers=1, n_output_channels=256, max_pool=False, activation=None, conv_bias=True)
    sizes = dict(embedding_dim=256, num_layers=6, num_heads=4, mlp_ratio=2, sequence_length=(size // 4) ** 2)
    options = dict(seq_pool=False, dropout_rate=0.0, positional_embedding="learnable", num_classes=classes)
    return nn.Sequential(tokenizer, cct.TransformerClassifier(**sizes, **options))


def cct(classes, size):
    from cct import cct

    tokenizer = dict(n_conv_layers=3, kernel_size=3, stride=1, padding=1)
    pooling = dict(pooling_kernel_size=3, pooling_stride=1, pooling_padding=1)
    sizes = dict(img_size=size, embedding_dim=128, num_layers=4, num_heads=4, mlp_ratio=4)
    return cct.CCT(**tokenizer, **pooling, **sizes, num_classes=classes, positional_embedding="learnable")


def cvt(classes, size):
    from vit_pytorch.cvt import CvT

    stage = dict(emb_dim=128, emb_kernel=3, emb_stride=1, proj_kernel=3, kv_proj_stride=1, heads=4, mlp_mult=2)
    stages = {f"s{i + 1}_{name}": value for i in range(3) for name, value in (stage | {"depth": [1, 1, 2][i]}).items()}
    return CvT(num_classes=classes, dropout=DROPOUT, **stages)


def hybrid_vin(classes, size):
    from hybrid_vin import HybridViN

    return HybridViN(size, 128, 4, 4, 1, classes, DROPOUT, num_landmarks=64, residual_conv_kernel=33)


def cpv(classes, size):
    from cpv import CPV

    return CPV(128, 5, 4, 110, classes=classes, dropout=DROPOUT)


def convmixer_segmentation(classes, size):
    from convmixer import Segmenter

    return Segmenter(512, 16, classes, kernel_size=8, patch_size=4)


def unet_resnet(classes, size):
    import unet

    return unet.of_resnet((64, 128, 256, 512), (2, 2, 2, 2), (256, 128, 64, 32, 16), classes)


def deeplab(classes, size):
    from deeplab import DeepLab

    return DeepLab([64, 128, 256, 512], [3, 4, 23, 3], classes)


def segformer(classes, size):
    from segformer import Proper

    return Proper([32, 64, 160, 256], [1, 2, 5, 8], 4, 2, 256, classes)


def segformer_package(classes, size):
    from segformer import Package

    return Package(num_classes=classes)


MODELS = {
    "ResNet-18": lambda *sizes: resnet(18, *sizes),
    "ResNet-50": lambda *sizes: resnet(50, *sizes),
    "MobileNetV2-2.0": mobilenet,
    "ConvMixer-256/8": convmixer,
    "2D-FNet-128/5": fnet,
    "MLP-Mixer-512/8": mlp_mixer,
    "2D-MLP-Mixer-128/5": mlp_mixer_2d,
    "ViT-128/4x4": vit,
    "ViT-Lite-256/6x4": vit_lite,
    "CCT-128/4x4": cct,
    "CvT-128/4x4": cvt,
    "HybridViN-128/4x4": hybrid_vin,
    "CPV-128/5x4": cpv,
}
SEGMENTERS = {
    "ConvMixer-512/16": convmixer_segmentation,
    "UNet-ResNet-18": unet_resnet,
    "DeepLabV2": deeplab,
    "SegFormer-B0": segformer,
    "SegFormer": segformer_package,
}


def build(name, classes, size):
    """A model by this library's name, for images of `size` by `size` pixels."""
    return (MODELS | SEGMENTERS)[name](classes, size)
