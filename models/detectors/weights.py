"""Pretrained weights by name: torchvision's, and ImageNet trunks."""

from torch import nn

from models.detectors.backbones import lite0_imagenet_weights


class WeightsUnavailableError(ValueError):
    """Weights that exist by name could not be had here; the text says what to do instead."""


def load_lite0_imagenet(network: nn.Module) -> None:
    """Fill the trunk of `ssd_efficientnet_lite0`; what only the classifier needs is left out."""
    state = lite0_imagenet_weights()
    trunk: nn.Module = network.backbone.trunk  # type: ignore[assignment,union-attr]  # built by us
    trunk.load_state_dict({name: state[name] for name in trunk.state_dict()})
