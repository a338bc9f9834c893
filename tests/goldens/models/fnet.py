"""The FNets for images of vision_xformer, of a few channels."""

from vision_xformer import FNet2D

CASES = [
    ("fnet", lambda: FNet2D(num_classes=5, dim=8, depth=2, mlp_dim=16), (2, 3, 8, 8), 1_045),
    ("fnet_wide", lambda: FNet2D(num_classes=5, dim=6, depth=1, mlp_dim=5), (2, 3, 5, 7), 370),
]
