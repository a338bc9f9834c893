"""2-D MLP-Mixer, written out: no code of it was published."""

from torch import nn


class AxisMlp(nn.Module):
    """LayerNorm and an MLP along one axis of images [n, c, h, w]."""

    def __init__(self, axis, n):
        super().__init__()
        self.axis, self.norm = axis, nn.LayerNorm(n)
        self.net = nn.Sequential(nn.Linear(n, 2 * n), nn.GELU(), nn.Dropout(0.0), nn.Linear(2 * n, n))

    def forward(self, x):
        return self.net(self.norm(x.transpose(self.axis, -1))).transpose(self.axis, -1)


class Channels(nn.Module):
    """The MLP along the channels."""

    def __init__(self, dim):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(dim, 2 * dim, 1), nn.GELU(), nn.Dropout(0.0), nn.Conv2d(2 * dim, dim, 1))

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    """Height, width and channels, with one shortcut around all three."""

    def __init__(self, dim, n):
        super().__init__()
        self.height, self.width = AxisMlp(2, n), AxisMlp(3, n)
        self.ff = nn.Sequential(nn.BatchNorm2d(dim), Channels(dim))

    def forward(self, x):
        return self.ff(self.width(self.height(x))) + x


class Mixer(nn.Module):
    def __init__(self, dim, depth, n, classes):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, dim // 2, 3, padding=1), nn.Conv2d(dim // 2, dim, 3, padding=1))
        self.layers = nn.Sequential(*[Block(dim, n) for _ in range(depth)])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, classes))

    def forward(self, x):
        return self.pool(self.layers(self.conv(x)))


CASES = [("mlp_mixer_2d", lambda: Mixer(8, 2, 8, 5), (2, 3, 8, 8), 2_229)]
