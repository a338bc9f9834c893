"""torchvision's ResNets, of a few channels."""

from torch import nn
from torchvision.models import resnet


class Small(resnet.ResNet):
    """A ResNet of these widths and blocks, where torchvision's own widths are fixed."""

    def __init__(self, block, widths, blocks, small_stem=False, dilated=False, classes=5):
        nn.Module.__init__(self)
        self._norm_layer, self.inplanes, self.dilation, self.groups = nn.BatchNorm2d, widths[0], 1, 1
        # What a bottleneck's width is multiplied by, over 64.
        self.base_width = 64
        kernel = dict(kernel_size=3, padding=1) if small_stem else dict(kernel_size=7, stride=2, padding=3)
        self.conv1 = nn.Conv2d(3, widths[0], bias=False, **kernel)
        self.bn1, self.relu = nn.BatchNorm2d(widths[0]), nn.ReLU()
        self.maxpool = nn.Identity() if small_stem else nn.MaxPool2d(3, 2, 1)
        for i, stride in enumerate([1, 2, 2, 2]):
            dilate = dilated and i >= 2
            setattr(self, f"layer{i + 1}", self._make_layer(block, widths[i], blocks[i], stride, dilate=dilate))
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d(1), nn.Linear(widths[3] * block.expansion, classes)


CASES = [
    ("resnet_basic", lambda: Small(resnet.BasicBlock, [4, 6, 8, 10], [2, 1, 1, 1]), (2, 3, 32, 32), 4_723),
    ("resnet_small_stem", lambda: Small(resnet.BasicBlock, [4, 6, 8, 10], [2, 1, 1, 1], True), (2, 3, 16, 16), 4_243),
    ("resnet_bottleneck", lambda: Small(resnet.Bottleneck, [2, 3, 4, 5], [1, 2, 1, 1]), (2, 3, 32, 32), 2_354),
]
