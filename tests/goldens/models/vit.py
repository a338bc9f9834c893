"""timm's vision transformers, of a few channels."""

from functools import partial

from timm.models.vision_transformer import VisionTransformer
from torch import nn


def vit(**settings):
    sizes = dict(img_size=8, embed_dim=8, depth=2, num_heads=2, mlp_ratio=2, num_classes=5)
    return lambda: VisionTransformer(**sizes, **settings)


EPS = partial(nn.LayerNorm, eps=1e-6)
CASES = [
    ("vit", vit(patch_size=2, qkv_bias=False, norm_layer=nn.LayerNorm), (2, 3, 8, 8), 1_461, False),
    ("vit_qkv_bias", vit(patch_size=4, qkv_bias=True, norm_layer=EPS), (2, 3, 8, 8), 1_701, False),
]
