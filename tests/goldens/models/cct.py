"""The compact transformers of vit_pytorch, of a few channels; the authors' code has the same names."""

from torch import nn
from vit_pytorch import cct

SIZES = dict(embedding_dim=8, num_layers=2, num_heads=2, mlp_ratio=2, num_classes=5, positional_embedding="learnable")


def compact(**settings):
    return lambda: cct.CCT(pooling_kernel_size=3, pooling_padding=1, **SIZES, **settings)


class ViTLite(nn.Module):
    """Patches of 4x4 of an image of 8x8, and a class token."""

    def __init__(self):
        super().__init__()
        one = dict(kernel_size=4, stride=4, padding=0, n_conv_layers=1, n_output_channels=8)
        self.tokenizer = cct.Tokenizer(max_pool=False, activation=None, conv_bias=True, **one)
        self.classifier = cct.TransformerClassifier(seq_pool=False, sequence_length=4, **SIZES)

    def forward(self, images):
        return self.classifier(self.tokenizer(images))


ONE = dict(img_size=4, n_conv_layers=1, kernel_size=3, stride=1, padding=1, pooling_stride=1)
TWO = dict(img_size=16, n_conv_layers=2, kernel_size=5, stride=2, padding=2, pooling_stride=2)
CASES = [
    ("cct", compact(**ONE), (2, 3, 4, 4), 1_566, False),
    ("cct_strided", compact(**TWO), (2, 3, 16, 16), 18_830, False),
    ("vit_lite", ViTLite, (2, 3, 8, 8), 1_653, False),
]
