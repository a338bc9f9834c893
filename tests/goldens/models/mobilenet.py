"""torchvision's MobileNetV2, of a few channels."""

from torchvision.models import MobileNetV2


def small(stages=((1, 8, 1, 1), (6, 8, 2, 2))):
    """Stages of a few channels; behind the last convolution there are never fewer than 1280."""
    return MobileNetV2(5, width_mult=0.1, inverted_residual_setting=stages, round_nearest=4, dropout=0.0)


CASES = [("mobilenet", small, (2, 3, 32, 32), 15_293)]
