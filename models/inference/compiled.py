"""A detector's network compiled by OpenVINO, for quick scores on the CPU."""

import warnings
from threading import local
from typing import Any

import torch
from torch import Tensor, nn

from models.detectors import Detector
from models.detectors.detector import Dense
from models.detectors.foreign.runtime import import_openvino


def compile_dense(
    detector: Detector,
    *,
    in_bfloat16: bool = True,
    num_streams: int = 1,
    num_threads: int = 1,
) -> Dense:
    """
    Compile `detector.dense`, with float32 inputs and outputs.

    This takes some seconds; the result holds no reference to the detector. The outputs of a call
    are overwritten by the same thread's next call.

    Args:
        detector: in eval mode, on the CPU, with convolutions that `fuse` has not packed.
        in_bfloat16: compute in bfloat16 if the processor can.
        num_streams: number of threads whose calls run side by side.
        num_threads: number of threads that all calls share.

    Raises:
        ImportError: OpenVINO is not installed.
        ValueError: The detector is in training mode.
    """
    if detector.training:
        raise ValueError("compile_dense needs a detector in eval mode: call detector.eval()")
    openvino = import_openvino()
    height, width = detector.spec.input_size
    if detector.keeps_aspect:  # any size is possible
        height = width = 2 * detector.size_divisor
    example = torch.zeros((2, 3, height, width))
    _ignore_known_warnings()
    with torch.no_grad():
        names = list(detector.dense(example))
        model = openvino.convert_model(_Outputs(detector), example_input=example)
    sides = (-1, -1) if detector.keeps_aspect else (height, width)
    model.reshape({0: [-1, 3, *sides]})
    layouts = openvino.preprocess.PrePostProcessor(model)
    layouts.input().tensor().set_layout(
        openvino.Layout("NHWC")
    )  # as `Detector.collate` lays them out
    layouts.input().model().set_layout(openvino.Layout("NCHW"))
    model = layouts.build()
    compiled = openvino.Core().compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "bf16" if in_bfloat16 else "f32",
            "NUM_STREAMS": num_streams,
            "INFERENCE_NUM_THREADS": num_threads,
            "ENABLE_CPU_PINNING": False,  # torch's threads and other processes need the cores, too
        },
    )
    return _Compiled(compiled, names)


def _ignore_known_warnings() -> None:
    """Silence two warnings of tracing: it is deprecated in torch, and sides are fixed here."""
    warnings.filterwarnings("ignore", r"`torch\.jit\.trace", FutureWarning)
    warnings.filterwarnings("ignore", "Converting a tensor to a Python boolean", Warning)


class _Outputs(nn.Module):
    """The module to convert: it returns a tuple, since the conversion loses names."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.detector.dense(pixels).values())


class _Compiled:
    def __init__(self, compiled: Any, names: list[str]) -> None:
        self._compiled = compiled
        self._names = names
        self._own = local()

    def __call__(self, pixels: Tensor) -> dict[str, Tensor]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        outputs = self._own.request.infer(
            {0: pixels.permute(0, 2, 3, 1).contiguous().numpy()},
            share_inputs=True,
            share_outputs=True,
        )
        return {name: torch.from_numpy(outputs[index]) for index, name in enumerate(self._names)}
