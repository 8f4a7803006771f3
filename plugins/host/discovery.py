"""Find the plugins that are installed here: entry points of the group ``osteon.plugins``.

Many distributions may bring plugins; exactly one may bring a plugin of a given name, and
none but ours may own an import name of the suite (Python Packaging User Guide, "Entry
points specification").

Read next: `docs/write-a-plugin.md`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions

from audit.errors import ConfigurationError, NotFoundError
from plugins.host.protocol import Plugin

GROUP = "osteon.plugins"
DISTRIBUTION = "osteon"
ROOMS = ("adapters", "audit", "governance", "models", "plugins", "validation")


@dataclass(frozen=True, slots=True)
class InstalledPlugin:
    """A plugin that an installed distribution declares.

    Parameters
    ----------
    entry_point : ``package.module:Class``.
    distribution, version : who brings it.
    """

    name: str
    entry_point: str
    distribution: str
    version: str

    @property
    def package(self) -> str:
        """Return the import package that holds the plugin's code, e.g. plugins.contouring."""
        parts = self.entry_point.partition(":")[0].split(".")
        return ".".join(parts[:2] if parts[0] == "plugins" else parts[:1])

    def load(self) -> Plugin:
        """Import the working tree's code and return the plugin, not yet loaded.

        For building and tests; a site runs released code only, in a worker.
        """
        plugin = EntryPoint(self.name, self.entry_point, GROUP).load()()
        if not isinstance(plugin, Plugin):
            raise ConfigurationError(
                f"expected a plugin at {self.entry_point}, found another class"
            )
        if plugin.manifest.plugin != self.name:
            raise ConfigurationError(
                f"expected plugin {self.name} at {self.entry_point}, its manifest says "
                f"{plugin.manifest.plugin}"
            )
        return plugin


def installed_plugins() -> tuple[InstalledPlugin, ...]:
    """Return every installed plugin by name, without importing any.

    Raises
    ------
    ConfigurationError : two distributions bring a plugin of the same name.
    """
    found: dict[str, InstalledPlugin] = {}
    for distribution in distributions():
        for entry in distribution.entry_points.select(group=GROUP):
            plugin = InstalledPlugin(
                entry.name, entry.value, _name(distribution), distribution.version
            )
            known = found.setdefault(entry.name, plugin)
            if known != plugin:
                raise ConfigurationError(
                    f"plugin {entry.name} is brought by {known.distribution} and by "
                    f"{plugin.distribution}: remove one"
                )
    return tuple(found[name] for name in sorted(found))


def find_plugin(name: str) -> InstalledPlugin:
    """Return one installed plugin; NotFoundError that lists what there is."""
    plugins = installed_plugins()
    for plugin in plugins:
        if plugin.name == name:
            return plugin
    known = ", ".join(plugin.name for plugin in plugins) or "none"
    raise NotFoundError(
        f"expected an installed plugin called {name!r}; installed are: {known}",
        advice="Install the distribution that brings it, or correct the name.",
    )


def check_names(installed: Iterable[Distribution] | None = None) -> None:
    """Raise ConfigurationError when another distribution owns an import name of the suite."""
    for distribution in distributions() if installed is None else installed:
        if _name(distribution) == DISTRIBUTION:
            continue
        for room in ROOMS:
            if _owns(distribution, room):
                raise ConfigurationError(
                    f"distribution {_name(distribution)} owns the import name {room!r}, which is "
                    f"the suite's; install the suite into an environment of its own"
                )


def _owns(distribution: Distribution, room: str) -> bool:
    if room in (distribution.read_text("top_level.txt") or "").split():
        return True
    record = distribution.read_text("RECORD") or ""
    return any(
        line.startswith((f"{room}/", f"{room}.py")) and ".py," in line
        for line in record.splitlines()
    )


def _name(distribution: Distribution) -> str:
    """Return the normalised name (PEP 503)."""
    return re.sub(r"[-_.]+", "-", str(distribution.metadata["Name"])).lower()
