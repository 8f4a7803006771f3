"""What this machine is, for evidence: interpreter, libraries, processor, kernel.

Read next: `snapshot.py`.
"""

from __future__ import annotations

import os
import platform
from importlib.metadata import distributions
from typing import Any

from plugins.host import HOST_API
from plugins.host.runtime_facts import runtime_facts


def machine_facts() -> dict[str, Any]:
    """Return the facts as JSON values; every installed distribution with its version."""
    packages = {
        str(item.metadata["Name"]): item.version for item in distributions() if item.metadata
    }
    return {
        "host_api": HOST_API,
        "kernel": platform.release(),
        "system": platform.system(),
        "cpu_count": os.cpu_count(),
        "packages": dict(sorted(packages.items())),
        "runtime": runtime_facts({}),
    }
