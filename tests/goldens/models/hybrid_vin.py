"""The hybrid vision Nystromformer, of a few channels, written out around the package's attention."""

import torch
from nystrom_attention import NystromAttention
from torch import nn


class PreNorm(nn.Module):
    def __init__(self, dim, fn):
        super().__init__()
        self.norm, self.fn = nn.LayerNorm(dim), fn

    def forward(self, x):
        return x + self.fn(self.norm(x))


class FeedForward(nn.Module):
    def __init__(self, dim, hidden, dropout):
        super().__init__()
        first, second = nn.Linear(dim, hidden), nn.Linear(hidden, dim)
        self.net = nn.Sequential(first, nn.GELU(), nn.Dropout(dropout), second, nn.Dropout(dropout))

    def forward(self, x):
        return self.net(x)


class HybridViN(nn.Module):
    def __init__(self, size, dim, depth, heads, stride, classes=5, dropout=0.0, **attention):
        super().__init__()
        widths, strides = [3, dim // 4, dim // 2, dim], [stride, 1, 1]
        convs = [nn.Conv2d(*widths[i : i + 2], 3, stride=strides[i], padding=1) for i in range(3)]
        self.to_patch_embedding = nn.Sequential(*convs)
        self.pos_embedding = nn.Parameter(torch.randn(1, (size // stride) ** 2 + 1, dim))
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.transformer = nn.Module()
        self.transformer.layers = nn.ModuleList()
        for _ in range(depth):
            nystrom = NystromAttention(dim, dim // heads, heads, dropout=dropout, **attention)
            mlp = FeedForward(dim, 2 * dim, dropout)
            self.transformer.layers.append(nn.ModuleList([PreNorm(dim, nystrom), PreNorm(dim, mlp)]))
        self.mlp_head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, classes))

    def forward(self, images):
        x = self.to_patch_embedding(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embedding
        for attention, mlp in self.transformer.layers:
            x = mlp(attention(x))
        return self.mlp_head(x[:, 0])


# 17 tokens, of which the landmarks take 20 and 21: three and four zeros are put in front.
FOUR, SEVEN = (dict(num_landmarks=n, residual_conv_kernel=5) for n in (4, 7))
CASES = [
    ("hybrid_vin", lambda: HybridViN(4, 8, 2, 2, 1, **FOUR), (2, 3, 4, 4), 1_805, False),
    ("hybrid_vin_strided", lambda: HybridViN(8, 8, 1, 4, 2, **SEVEN), (2, 3, 8, 8), 1_229, False),
]
