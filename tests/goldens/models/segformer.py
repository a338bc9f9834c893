"""SegFormers of a few channels: that of segmentation_models_pytorch, and that of segformer-pytorch."""

from functools import partial

import torch
from segformer_pytorch import segformer_pytorch as package
from segmentation_models_pytorch.decoders.segformer.decoder import SegformerDecoder
from segmentation_models_pytorch.encoders import mix_transformer
from torch import nn
from torch.nn import functional as F

DIMS, HEADS = [4, 6, 8, 10], [1, 2, 2, 5]


def resized(y, x):
    return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


class Proper(nn.Module):
    """Logits resized as the authors do, without aligned corners."""

    def __init__(self, dims=DIMS, heads=HEADS, factor=2, depth=1, decoder=6, classes=3):
        super().__init__()
        self.encoder = mix_transformer.MixVisionTransformer(
            embed_dims=dims,
            num_heads=heads,
            mlp_ratios=[factor] * 4,
            qkv_bias=True,
            norm_layer=partial(mix_transformer.LayerNorm, eps=1e-6),
            depths=[depth] * 4,
            sr_ratios=[8, 4, 2, 1],
        )
        self.decoder = SegformerDecoder([3, 0, *dims], 5, decoder)
        self.segmentation_head = nn.Sequential(nn.Conv2d(decoder, classes, 1))

    def forward(self, x):
        # The package's encoders have a map without channels where SegFormer has none of half the size.
        maps = [x, x[:, :0], *self.encoder(x)]
        return resized(self.segmentation_head(self.decoder(maps)), x)


class Package(package.Segformer):
    """Logits resized to the images."""

    def forward(self, x):
        return resized(super().forward(x), x)


def standard_norm(self, x):
    """The package adds eps to the root of the variance: 1e-5 relative, which this library does not follow."""
    variance, mean = torch.var_mean(x, dim=1, correction=0, keepdim=True)
    return (x - mean) / (variance + self.eps).sqrt() * self.g + self.b


package.LayerNorm.forward = standard_norm
IMAGES = (2, 3, 32, 32)
SIZES = dict(ff_expansion=(2, 2, 2, 2), num_layers=1, decoder_dim=6, num_classes=3)
CASES = [
    ("segformer", Proper, (2, 3, 32, 64), 6_971),
    ("segformer_package", lambda: Package(dims=tuple(DIMS), heads=tuple(HEADS), **SIZES), IMAGES, 9_231),
]
