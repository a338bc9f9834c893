"""The convolutional vision transformers of vit_pytorch, of a few channels."""

from vit_pytorch.cvt import CvT


def cvt(strides, kv_strides, depths):
    settings = {"num_classes": 5}
    for i, stage in enumerate(zip(strides, kv_strides, depths)):
        own = dict(zip(["emb_stride", "kv_proj_stride", "depth"], stage))
        own |= dict(emb_dim=4, emb_kernel=3, proj_kernel=3, heads=1, mlp_mult=2)
        settings |= {f"s{i + 1}_{name}": value for name, value in own.items()}
    return lambda: CvT(**settings)


CASES = [("cvt", cvt([2, 1, 1], [2, 1, 1], [1, 1, 2]), (2, 3, 8, 8), 5_289)]
