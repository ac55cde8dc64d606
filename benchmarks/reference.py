"""The same network as torchvision builds it, for those who use torchvision alone."""

import torchvision
from torch import nn

from models.detectors import Detector


def reference(detector: Detector) -> nn.Module:
    """In evaluation mode, its own transform and post-processing included."""
    network: nn.Module = torchvision.models.get_model(
        detector.spec.architecture,
        weights=None,
        weights_backbone=None,
        num_classes=len(detector.spec.class_names) + 1,
    )
    network.load_state_dict(detector.network.state_dict())
    return network.eval()
