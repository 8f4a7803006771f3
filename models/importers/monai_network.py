"""Build a network of MONAI from its stated arguments, and keep it as an exported program.

Only while a bundle is imported, and only classes of ``monai.networks.nets``: the program
that comes out (torch.export) holds the operations and the weights, and needs neither MONAI
nor a pickle to run.

Read next: `networks/runner.py`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from audit.errors import ModelImportError
from models.importers.monai_config import Config
from models.importers.pickles import read_checkpoint, state_of

NETWORK = "network_def"
MOST_WINDOWS = 64


def exported_network(config: Config, content: bytes, file: str, window: Sequence[int]) -> bytes:
    """Return the exported program of ``network_def`` with the weights of a state dict.

    Parameters
    ----------
    window : (channels, a, b, c), the size that the program is made for.

    Raises
    ------
    ModelImportError : the network is no class of MONAI, its arguments are no plain values,
        or the weights do not fit it.
    """
    network = _built(config)
    state = state_of(read_checkpoint(content, file), file)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        count = len(network.state_dict())
        raise ModelImportError(
            file, f"the {count} tensors of {NETWORK}", f"{len(state)} that do not fit"
        ) from error
    return exported(network.eval(), window)


def exported(network: Any, window: Sequence[int]) -> bytes:
    """Return a network as the bytes of an exported program; the same network, the same bytes."""
    import torch

    example = torch.zeros(2, *window)
    batch = torch.export.Dim("batch", min=1, max=MOST_WINDOWS)
    try:
        program = torch.export.export(network, (example,), dynamic_shapes=({0: batch},))
    except Exception as error:  # torch.export has no common exception
        raise ModelImportError(
            NETWORK,
            "a network that torch.export can follow",
            type(error).__name__,
            advice="Give the bundle a TorchScript model, models/model.ts.",
        ) from error
    # A sample input would be kept by pickle; stack traces hold paths of this machine.
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    sink = io.BytesIO()
    torch.export.save(program, sink)
    return sink.getvalue()


def _built(config: Config) -> Any:
    place = f"{config.name}: {NETWORK}"
    name, arguments = config.component(config.value(NETWORK), NETWORK)
    try:
        from monai.networks import nets
    except ImportError as error:
        raise ModelImportError(
            place,
            "MONAI, to build the network of a state dict",
            "no such library",
            advice="Install the extra `importers`, or give the bundle models/model.ts.",
        ) from error
    kind = getattr(nets, name, None)
    if not isinstance(kind, type) or not kind.__module__.startswith("monai.networks.nets"):
        raise ModelImportError(place, "a class of monai.networks.nets", name[:40])
    values = {key: config.plain(item, f"{NETWORK}::{key}") for key, item in arguments.items()}
    try:
        return kind(**values)
    except Exception as error:  # whatever a wrong argument leads into
        raise ModelImportError(place, f"arguments of {name}", type(error).__name__) from error
