"""What a plugin author writes: a manifest and two methods.

Optional methods (`explain`, `what_if`) are found by name; the host does everything else:
audit, DICOM, FHIR, retries, versions, drift and the explanation page.

Read next: `plugins/example/plugin.py`, the smallest plugin.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from plugins.host.case import Case
from plugins.host.findings import Explanation, Prediction
from plugins.host.manifest import Manifest

Parameters = Mapping[str, str | float | bool]
Edits = Mapping[str, float]
"""What somebody tries out, by names that the plugin states; the unit is the name's."""


class Artifact(Protocol):
    """The release as its own code sees it: its manifest, and bytes of members by name."""

    digest: str

    @property
    def manifest(self) -> Mapping[str, Any]:
        """Return the release's whole manifest as JSON values, to be read only."""
        ...

    def weights(self, name: str) -> bytes:
        """Return the verified bytes of one weight file that the manifest lists."""
        ...


@runtime_checkable
class Plugin(Protocol):
    """A plugin: found through entry points of the group ``osteon.plugins``."""

    manifest: Manifest

    def load(self, artifact: Artifact) -> None:
        """Make ready: read weights once; called in the worker, before any case."""
        ...

    def predict(self, case: Case, parameters: Parameters) -> Prediction:
        """Return the answer to one case."""
        ...


@runtime_checkable
class Explains(Protocol):
    """The optional part of a plugin that explains its own answer."""

    def explain(self, case: Case, prediction: Prediction) -> Explanation:
        """Return what made the finding what it is, within the manifest's budget."""
        ...


@runtime_checkable
class Explores(Protocol):
    """The optional part of a plugin that answers: what if this were otherwise?"""

    def what_if(self, case: Case, edits: Edits) -> Prediction:
        """Return the answer to a case that `predict` has answered, with something changed.

        An edit that the plugin does not know, or beyond its bounds, is a `RefusalError`.
        """
        ...
