"""MLP-Mixer of the package mlp-mixer-pytorch, of a few channels."""

from mlp_mixer_pytorch import MLPMixer


def small():
    """Both factors multiply `dim` in this version: hidden widths of 12 along the 16 tokens, and of 4."""
    size = dict(image_size=8, channels=3, patch_size=2, dim=8, depth=2, num_classes=5)
    return MLPMixer(**size, expansion_factor=1.5, expansion_factor_token=0.5)


CASES = [("mlp_mixer", small, (2, 3, 8, 8), 1_205)]
