"""DeepLabV2 from its definition, on a torchvision ResNet of a few channels: no package has it."""

from resnet import Small, resnet
from torch import nn
from torch.nn import functional as F


class Classifiers(nn.Module):
    """The sum of four convolutions of different reach."""

    def __init__(self, channels, classes):
        super().__init__()
        convs = [nn.Conv2d(channels, classes, 3, padding=apart, dilation=apart) for apart in (6, 12, 18, 24)]
        self.conv2d_list = nn.ModuleList(convs)

    def forward(self, x):
        return sum(conv(x) for conv in self.conv2d_list)


class DeepLab(Small):
    def __init__(self, widths, blocks, classes):
        super().__init__(resnet.Bottleneck, widths, blocks, dilated=True)
        del self.fc
        self.layer5 = Classifiers(4 * widths[3], classes)

    def forward(self, x):
        y = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        y = self.layer5(self.layer4(self.layer3(self.layer2(self.layer1(y)))))
        return F.interpolate(y, size=x.shape[2:], mode="bilinear", align_corners=False)


# Maps of 13x5: the taps that are 6 and 12 apart reach some of them, those beyond are zeros.
CASES = [("deeplab", lambda: DeepLab([2, 3, 4, 5], [1, 1, 2, 2], 3), (2, 3, 104, 36), 5_037)]
