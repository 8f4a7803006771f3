"""Load a network from the bytes of its weight files and run it on arrays.

Four kinds of file: safetensors for the networks that `unet.py` rebuilds, an exported
program (torch.export), TorchScript, ONNX.  None is read by Python's pickle: an exported
program that carries one is refused, and TorchScript has an unpickler of its own that knows
no Python object.

Read next: `../segment.py`.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from audit.errors import ModelImportError
from models.importers.description import Network

if TYPE_CHECKING:
    import torch

FloatArray = NDArray[np.float32]
Differentiable = Callable[["torch.Tensor"], "torch.Tensor"]


@dataclass(frozen=True, slots=True)
class Runner:
    """The members of a network's ensemble, ready to run.

    Parameters
    ----------
    answers : one function for each member, arrays to arrays.
    gradients : the same as functions of tensors that autograd can follow; empty for ONNX.
    """

    answers: tuple[Callable[[FloatArray], FloatArray], ...]
    gradients: tuple[Differentiable, ...]

    def __call__(self, batch: FloatArray) -> FloatArray:
        """Return the mean answer of all members, (n, outputs, ...)."""
        total = self.answers[0](batch)
        for answer in self.answers[1:]:
            total = total + answer(batch)
        return total / np.float32(len(self.answers))


def load(network: Network, contents: Sequence[bytes], threads: int = 1) -> Runner:
    """Return the runner of a network whose files have these contents.

    Raises
    ------
    ModelImportError : a file cannot be read as what the description says it is.
    """
    if network.kind == "onnx":
        return Runner(tuple(_onnx(content, threads) for content in contents), ())
    loaders = {"exported": _exported, "torchscript": _torchscript}
    loader = loaders.get(network.kind)
    modules = tuple(
        loader(content) if loader else _rebuilt(network, content) for content in contents
    )
    return Runner(tuple(_on_arrays(module) for module in modules), modules)


def _on_arrays(module: Differentiable) -> Callable[[FloatArray], FloatArray]:
    import torch

    def answer(batch: FloatArray) -> FloatArray:
        with torch.inference_mode():
            found = module(torch.from_numpy(np.ascontiguousarray(batch)))
        return found.float().numpy()

    return answer


def _rebuilt(network: Network, content: bytes) -> Differentiable:
    from safetensors import SafetensorError
    from safetensors.torch import load as load_tensors

    from models.importers.networks.unet import UNet, decode_plan

    plan = decode_plan(network.arguments)
    module = UNet(plan, residual=network.kind == "residual-unet")
    try:
        module.load_state_dict(load_tensors(content))
    except (SafetensorError, RuntimeError) as error:
        raise ModelImportError("network: weights", "the tensors of the plan", "others") from error
    return module.eval()


def _exported(content: bytes) -> Differentiable:
    import torch

    _refuse_pickles(content)
    program = torch.export.load(io.BytesIO(content))
    module: Any = program.module()
    return _first(module)


def _refuse_pickles(content: bytes) -> None:
    """Refuse an exported program with anything but an empty place for sample inputs."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
    except zipfile.BadZipFile as error:
        raise ModelImportError("network: file", "an exported program", "another file") from error
    for entry in entries:
        if entry.file_size and entry.filename.endswith((".pt", ".pkl", ".pth")):
            name = entry.filename.rpartition("/")[2]
            raise ModelImportError("network: file", "no pickle in an exported program", name)


def _torchscript(content: bytes) -> Differentiable:
    import torch

    try:
        module: Any = torch.jit.load(io.BytesIO(content), "cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise ModelImportError("network: file", "a TorchScript file", "another file") from error
    return _first(module.eval())


def _first(module: Any) -> Differentiable:
    """Return the module as a function that gives one tensor: the first of several."""

    def answer(batch: torch.Tensor) -> torch.Tensor:
        found = module(batch)
        while isinstance(found, (list, tuple)) and found:
            found = found[0]
        result: torch.Tensor = found
        return result

    return answer


def _onnx(content: bytes, threads: int) -> Callable[[FloatArray], FloatArray]:
    try:
        import onnxruntime
    except ImportError as error:
        raise ModelImportError(
            "network: file",
            "onnxruntime to run an ONNX file",
            "no such library",
            advice="Install the extra `importers`: pip install 'osteon[importers]'.",
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = threads
    options.use_deterministic_compute = True
    try:
        session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions share no base but Exception
        raise ModelImportError(
            "network: file", "an ONNX model that onnxruntime can run", type(error).__name__
        ) from error
    inputs = session.get_inputs()
    if len(inputs) != 1:
        raise ModelImportError("network: file: inputs", "one tensor", len(inputs))
    name, result = inputs[0].name, session.get_outputs()[0].name

    def answer(batch: FloatArray) -> FloatArray:
        found = session.run([result], {name: np.ascontiguousarray(batch, dtype=np.float32)})
        return np.asarray(found[0], dtype=np.float32)

    if inputs[0].shape and inputs[0].shape[0] == 1:  # made for one window at a time
        return lambda batch: np.concatenate([answer(window[None]) for window in batch])
    return answer
