"""Import a release's own code, and nothing of the suite above the hall.

In a worker, ``plugins.NAME`` and ``models.X`` (or a package of another distribution) come
from the verified bytes of the release, never from a file that could have changed after
the verification and never from the working tree (PEP 302, PEP 451).  ``plugins.host``,
``governance`` and ``audit`` come from the suite.  What the release does not carry of
``plugins`` and ``models``, and the rooms ``adapters`` and ``validation``, cannot be
imported at all: a release that needs them would not behave the same tomorrow.

Read next: `worker.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder, SourceLoader
from importlib.machinery import ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

_CLOSED = ("adapters", "validation", "plugins", "models")


class ReleasedCode(MetaPathFinder):
    """Finds modules in the released code.

    Parameters
    ----------
    sources : path (``plugins/knee/plugin.py``) -> verified bytes.
    folder : the release's ``code`` folder; file names in tracebacks start with it.
    """

    def __init__(self, sources: Mapping[str, bytes], folder: Path) -> None:
        self._folder = folder
        self._modules: dict[str, tuple[str, bytes, bool]] = {}
        self._namespaces: set[str] = set()
        for path, source in sources.items():
            if not path.endswith(".py"):
                continue
            parts = path.removesuffix(".py").split("/")
            is_package = parts[-1] == "__init__"
            name = ".".join(parts[:-1] if is_package else parts)
            self._modules[name] = (path, source, is_package)
            self._namespaces.update(".".join(parts[:end]) for end in range(1, len(parts)))

    def install(self) -> None:
        """Put this finder ahead of all others."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - the interface of PEP 451
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        """Return where a module comes from; None leaves it to the ordinary finders."""
        if fullname.startswith("plugins.host.") or fullname in ("plugins", "plugins.host"):
            return None
        if fullname in self._modules:
            file, source, is_package = self._modules[fullname]
            place = str(self._folder / file)
            return spec_from_file_location(
                fullname,
                place,
                loader=_Loader(place, source),
                submodule_search_locations=[str(Path(place).parent)] if is_package else None,
            )
        if fullname in self._namespaces:
            return ModuleSpec(fullname, None, is_package=True)
        if fullname.split(".", 1)[0] in _CLOSED:
            raise ModuleNotFoundError(f"{fullname} is not part of the release", name=fullname)
        return None


class _Loader(SourceLoader):
    """Loads one module from its verified bytes; nothing is cached on disk."""

    def __init__(self, file: str, source: bytes) -> None:
        self._file = file
        self._source = source

    def get_filename(self, fullname: str) -> str:  # noqa: ARG002 - the interface of PEP 302
        return self._file

    def get_data(self, path: str | bytes) -> bytes:
        if path != self._file:
            raise OSError("only the module's own source can be read")
        return self._source
