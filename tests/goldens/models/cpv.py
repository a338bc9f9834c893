"""The convolutional Performer, of a few channels, written out around the package's attention."""

from performer_pytorch import SelfAttention
from torch import nn
from vit_pytorch.cvt import LayerNorm


class Transformer(nn.Module):
    """Attention and an MLP, each beside a shortcut, without norms."""

    def __init__(self, dim, heads, features, dropout):
        super().__init__()
        options = dict(qkv_bias=True, attn_out_bias=True, dropout=dropout)
        attention = SelfAttention(dim, heads=heads, dim_head=dim // heads, nb_features=features, **options)
        mlp = nn.Module()
        expand, contract = nn.Conv2d(dim, 2 * dim, 1), nn.Conv2d(2 * dim, dim, 1)
        mlp.net = nn.Sequential(expand, nn.GELU(), nn.Dropout(dropout), contract, nn.Dropout(dropout))
        self.layers = nn.ModuleList([nn.ModuleList([attention, mlp])])

    def forward(self, x):
        [[attention, mlp]] = self.layers
        tokens = attention(x.flatten(2).transpose(1, 2))
        x = x + tokens.transpose(1, 2).reshape(x.shape)
        return x + mlp.net(x)


class CPV(nn.Module):
    def __init__(self, dim, depth, heads, features, stride=1, classes=5, dropout=0.0):
        super().__init__()
        widths = [3, dim // 4, dim // 2] + depth * [dim]

        def conv(i, stride=1):
            return nn.Conv2d(widths[i], widths[i + 1], 3, stride=stride, padding=1)

        self.conv = nn.Sequential(conv(0, stride), conv(1))
        def layer(i):
            return nn.Sequential(conv(2 + i), LayerNorm(dim), Transformer(dim, heads, features, dropout))

        self.layers = nn.Sequential(*[layer(i) for i in range(depth)])
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dim, classes))

    def forward(self, images):
        return self.head(self.layers(self.conv(images)))


CASES = [
    ("cpv", lambda: CPV(8, 2, 2, 6), (2, 3, 4, 4), 2_225),
    ("cpv_strided", lambda: CPV(8, 1, 2, 9, stride=2), (2, 3, 6, 6), 1_057),
]
