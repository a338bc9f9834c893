"""UNets: torchvision's encoders, of a few channels, with the decoder of segmentation_models_pytorch."""

from mobilenet import small as mobilenet
from resnet import Small, resnet
from segmentation_models_pytorch.decoders.unet.decoder import UnetDecoder
from torch import nn


class UNet(nn.Module):
    """The encoder's maps of 1/2, 1/4, .. 1/32, then the decoder and a logit a class at every pixel."""

    def __init__(self, encoder, maps, channels, widths, classes=3):
        super().__init__()
        self.encoder, self.maps = encoder, maps
        self.decoder = UnetDecoder(encoder_channels=channels, decoder_channels=widths, n_blocks=5)
        self.segmentation_head = nn.Sequential(nn.Conv2d(widths[-1], classes, 3, padding=1))

    def forward(self, x):
        return self.segmentation_head(self.decoder([x, *self.maps(self.encoder, x)]))


def of_resnet(widths=(4, 6, 8, 10), blocks=(2, 1, 1, 1), decoder=(8, 6, 4, 4, 3), classes=3):
    encoder = Small(resnet.BasicBlock, widths, blocks)
    del encoder.fc

    def maps(net, x):
        out = [net.relu(net.bn1(net.conv1(x)))]
        out.append(net.layer1(net.maxpool(out[0])))
        for layer in (net.layer2, net.layer3, net.layer4):
            out.append(layer(out[-1]))
        return out

    return UNet(encoder, maps, (3, widths[0], *widths), decoder, classes)


def of_mobilenet():
    stages = [[1, 8, 1, 1], [6, 8, 2, 2], [6, 8, 1, 2], [6, 8, 1, 2], [6, 16, 1, 2]]
    encoder = mobilenet(stages)
    del encoder.classifier

    def maps(net, x):
        out = []
        for i, layer in enumerate(net.features):
            x = layer(x)
            # Behind the first block, the two of the second stage, and one of each that follows.
            if i in (1, 3, 4, 5, 7):
                out.append(x)
        return out

    return UNet(encoder, maps, (3, 4, 4, 4, 4, 1280), (4, 4, 4, 4, 3))


CASES = [
    ("unet_resnet", of_resnet, (2, 3, 32, 64), 8_929),
    ("unet_mobilenet", of_mobilenet, (2, 3, 32, 64), 58_437),
]
