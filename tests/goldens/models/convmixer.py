"""timm's ConvMixer, of a few channels, and one with WaveMix's head for segmentation."""

from timm.models.convmixer import ConvMixer
from torch import nn


class Segmenter(nn.Module):
    """ConvMixer's stem and blocks, then maps enlarged four times and one logit a class at every pixel."""

    def __init__(self, dim, depth, classes=5, **options):
        super().__init__()
        whole = ConvMixer(dim, depth, num_classes=0, **options)
        self.stem, self.blocks = whole.stem, whole.blocks
        self.expand = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 2, 4, stride=2, padding=1),
            nn.ConvTranspose2d(dim // 2, dim // 4, 4, stride=2, padding=1),
            nn.Conv2d(dim // 4, classes, 1),
        )

    def forward(self, x):
        return self.expand(self.blocks(self.stem(x)))


IMAGES = (2, 3, 16, 16)
CASES = [
    ("convmixer", lambda: ConvMixer(8, 2, kernel_size=8, patch_size=1, num_classes=5), IMAGES, 1_341),
    ("convmixer_patches", lambda: ConvMixer(8, 2, kernel_size=9, patch_size=2, num_classes=5), IMAGES, 1_685),
    ("convmixer_segmentation", lambda: Segmenter(8, 2, kernel_size=8, patch_size=4), IMAGES, 2_317),
]
