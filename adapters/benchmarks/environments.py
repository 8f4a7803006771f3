"""Environments of the peers, each its own, since their pins exclude ours.

    python -m adapters.benchmarks.environments [DIR]     (make peers)

Read next: `peer.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import structlog

FOLDER = Path(".peers")
REQUIREMENTS = {
    "pymedphys": ("pymedphys==0.41.0", "numpy", "scipy", "numba", "interpolation"),
    "surface": ("surface-distance-based-measures", "numpy", "scipy"),
    "rt-utils": ("rt-utils==1.2.7", "pydicom<3"),
    "pymerkle": ("pymerkle==7.0.0",),
    "nnunet": ("nnunetv2==2.8.1", "torch==2.13.0"),
    "dicompyler": ("dicompyler-core==0.5.6", "pydicom<3", "numpy<2", "setuptools<80"),
    "river": ("river>=0.26,<0.27",),
    "frouros": ("frouros==0.9.0",),
    "alibi-detect": ("alibi-detect==0.13.0",),
}
"""Packages of each environment; the other peers come with our own dependencies."""

log = structlog.get_logger()


def python_of(name: str, folder: Path = FOLDER) -> Path:
    """Return the interpreter of a peer's environment; ours for one without."""
    return folder / name / "bin" / "python" if name in REQUIREMENTS else Path(sys.executable)


def install(folder: Path = FOLDER) -> None:
    """Make what is missing; a peer that does not install is named and left out."""
    for name, packages in REQUIREMENTS.items():
        if (folder / name / "installed").exists():
            continue
        subprocess.run([sys.executable, "-m", "venv", folder / name], check=True)
        command = [str(python_of(name, folder)), "-m", "pip", "install", "-q", *packages]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            log.warning("peer not installed", peer=name, reason=done.stderr.strip()[-400:])
            continue
        (folder / name / "installed").touch()
        log.info("peer installed", peer=name)


if __name__ == "__main__":
    install(Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER)
