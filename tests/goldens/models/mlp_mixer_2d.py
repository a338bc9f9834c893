"""2-D MLP-Mixer, written out: no code of it was published."""

from torch import nn


class AxisMlp(nn.Module):
    """LayerNorm and an MLP along one axis of images [n, c, h, w]."""

    def __init__(self, axis, n, dropout):
        super().__init__()
        self.axis, self.norm = axis, nn.LayerNorm(n)
        first, second = nn.Linear(n, 2 * n), nn.Linear(2 * n, n)
        self.net = nn.Sequential(first, nn.GELU(), nn.Dropout(dropout), second)

    def forward(self, x):
        return self.net(self.norm(x.transpose(self.axis, -1))).transpose(self.axis, -1)


class Channels(nn.Module):
    """The MLP along the channels."""

    def __init__(self, dim, dropout):
        super().__init__()
        first, second = nn.Conv2d(dim, 2 * dim, 1), nn.Conv2d(2 * dim, dim, 1)
        self.net = nn.Sequential(first, nn.GELU(), nn.Dropout(dropout), second)

    def forward(self, x):
        return self.net(x)


class Block(nn.Module):
    """Height, width and channels, with one shortcut around all three."""

    def __init__(self, dim, n, dropout):
        super().__init__()
        self.height, self.width = AxisMlp(2, n, dropout), AxisMlp(3, n, dropout)
        self.ff = nn.Sequential(nn.BatchNorm2d(dim), Channels(dim, dropout))

    def forward(self, x):
        return self.ff(self.width(self.height(x))) + x


class Mixer(nn.Module):
    def __init__(self, dim, depth, n, classes, dropout=0.0):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(3, dim // 2, 3, padding=1), nn.Conv2d(dim // 2, dim, 3, padding=1))
        self.layers = nn.Sequential(*[Block(dim, n, dropout) for _ in range(depth)])
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, classes))

    def forward(self, x):
        return self.pool(self.layers(self.conv(x)))


CASES = [("mlp_mixer_2d", lambda: Mixer(8, 2, 8, 5), (2, 3, 8, 8), 2_229)]
