"""The program that computes an ONNX file: ONNX Runtime, or OpenVINO where only that is there."""

import sys
from importlib.util import find_spec
from pathlib import Path
from threading import local
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.detectors.foreign.errors import ForeignDetectorError

Array = NDArray[Any]

_ORT_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(double)": "float64",
}


class Port(NamedTuple):
    """An input or output; sides that vary from call to call are None."""

    name: str
    shape: tuple[int | None, ...] | None
    dtype: str


class Network(Protocol):
    """A loaded ONNX file. Threads may call `run` side by side."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    runtime: str

    def run(self, feeds: dict[str, Array]) -> list[Array]:
        """Return the outputs in their order; they hold until this thread calls again."""


def open_network(path: Path, *, device: str = "cpu", num_threads: int = 1) -> Network:
    """
    Load an ONNX file.

    `num_threads` compute one call on the CPU. Raises ForeignDetectorError for a file that the
    runtime refuses, ImportError where no runtime is installed.
    """
    if find_spec("onnxruntime") is not None:
        return OnnxRuntimeNetwork(path, device, num_threads)
    if find_spec("openvino") is not None:
        return OpenVinoNetwork(path, num_threads)
    raise ImportError("an ONNX detector needs a runtime: pip install 'hardneg[onnx]'")


def is_of_runtime(error: Exception) -> bool:
    """Return whether a runtime raised an error; its own classes share no parent but Exception."""
    module = type(error).__module__.partition(".")[0]
    return module in ("onnxruntime", "openvino") or isinstance(error, RuntimeError)


class OnnxRuntimeNetwork:
    """A file that ONNX Runtime computes."""

    def __init__(self, path: Path, device: str = "cpu", num_threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = num_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors; its warnings are for those who export
        providers: list[Any] = ["CPUExecutionProvider"]
        if device.startswith("cuda"):
            index = int(device.partition(":")[2] or 0)
            options_of_cuda = {"device_id": index, "use_tf32": 0}  # scores are float32's
            providers.insert(0, ("CUDAExecutionProvider", options_of_cuda))
        try:
            self._session = onnxruntime.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # its own classes share no parent but Exception
            raise ForeignDetectorError(f"ONNX Runtime refuses the file: {error}") from error
        self.inputs = tuple(_ort_port(port) for port in self._session.get_inputs())
        self.outputs = tuple(_ort_port(port) for port in self._session.get_outputs())
        self.runtime = f"ONNX Runtime {onnxruntime.__version__}"

    def run(self, feeds: dict[str, Array]) -> list[Array]:
        outputs: list[Array] = self._session.run(None, feeds)
        return outputs


class OpenVinoNetwork:
    """A file that OpenVINO computes, in float32: its own default on some CPUs is bfloat16."""

    def __init__(self, path: Path, num_threads: int = 1) -> None:
        openvino = import_openvino()
        try:
            model = openvino.Core().read_model(str(path))
            self._compiled = openvino.Core().compile_model(
                model,
                "CPU",
                {
                    "INFERENCE_PRECISION_HINT": "f32",
                    "INFERENCE_NUM_THREADS": num_threads,
                    "ENABLE_CPU_PINNING": False,
                },
            )
        except RuntimeError as error:
            raise ForeignDetectorError(f"OpenVINO refuses the file: {error}") from error
        self.inputs = tuple(_openvino_port(port) for port in self._compiled.inputs)
        self.outputs = tuple(_openvino_port(port) for port in self._compiled.outputs)
        self.runtime = f"OpenVINO {openvino.__version__}"
        self._own = local()

    def run(self, feeds: dict[str, Array]) -> list[Array]:
        if not hasattr(self._own, "request"):
            self._own.request = self._compiled.create_infer_request()
        results = self._own.request.infer(feeds)
        return [np.asarray(results[index]) for index in range(len(self.outputs))]


def import_openvino() -> Any:
    """Import OpenVINO without its telemetry. Raises ImportError where it is not installed."""
    # OpenVINO sends telemetry from its import on, unless its telemetry module cannot be imported.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    import openvino

    return openvino


def _ort_port(port: Any) -> Port:
    shape = None
    if port.shape is not None:
        shape = tuple(side if isinstance(side, int) and side > 0 else None for side in port.shape)
    return Port(port.name, shape, _ORT_TYPES.get(port.type, port.type))


def _openvino_port(port: Any) -> Port:
    shape = None
    if port.partial_shape.rank.is_static:
        shape = tuple(side.get_length() if side.is_static else None for side in port.partial_shape)
    kind = port.element_type.to_dtype().name
    return Port(port.any_name if port.names else "", shape, kind)
