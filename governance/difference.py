"""What differs between two releases, as a value: the ground of change control.

`difference(old, new)` compares everything that a release states and carries, area by area,
and gives each change a stable code.  It decides nothing: whether a change needs a new
certificate is for `osteon change classify`, which reads exactly this value.  Whenever the
two digests differ, at least one change is named: a key of the manifest that no rule knows
is in `identity` as ``STATEMENT_CHANGED``, an unknown member in `documents`.

Read next: `difference_statements.py` (manifest), `difference_code.py`,
`difference_weights.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from governance.difference_code import FileChange, file_changes
from governance.difference_statements import compared_statements
from governance.difference_training import TrainingDifference, compared_training
from governance.difference_values import StatedChange
from governance.difference_weights import WeightChange, weight_changes
from governance.release import MANIFEST, Release

AREAS = (
    *("identity", "purpose", "inputs", "outputs", "envelope", "routing", "parameters"),
    *("preprocessing", "architecture", "code", "weights", "training", "limits", "runtime"),
    *("components", "documents"),
)
"""Every area of a `ReleaseDifference`, in the order in which a person reads them."""

Change = StatedChange | FileChange | WeightChange


@dataclass(frozen=True, slots=True)
class ReleaseDifference:
    """Hold what differs between two releases; empty everywhere when they are the same.

    Parameters
    ----------
    identity : plugin, version, title, builder, and keys of the manifest of no other area.
    purpose : intended purpose and class of evidence.
    inputs, outputs : by role and by name.
    envelope : each limit, told apart into widened, narrowed and otherwise changed.
    routing : rules that were added or removed.
    parameters : parameters, thresholds, operating points, ways of inference.
    preprocessing : what an imported model states of it, and code files that do it.
    architecture : what an imported model states of its network, code files that define it.
    code : every code file, also those that the two areas above name again.
    weights : by weight file and tensor.
    training : patients and recipes.
    limits : time, memory and threads of one case.
    runtime : interpreter, host interface, pinned versions of imported libraries.
    components : the bill of materials.
    documents : card, criteria, bill of materials as files, and members of no other area.
    """

    old_digest: str
    new_digest: str
    identity: tuple[StatedChange, ...]
    purpose: tuple[StatedChange, ...]
    inputs: tuple[StatedChange, ...]
    outputs: tuple[StatedChange, ...]
    envelope: tuple[StatedChange, ...]
    routing: tuple[StatedChange, ...]
    parameters: tuple[StatedChange, ...]
    preprocessing: tuple[StatedChange | FileChange, ...]
    architecture: tuple[StatedChange | FileChange, ...]
    code: tuple[FileChange, ...]
    weights: tuple[WeightChange, ...]
    training: TrainingDifference
    limits: tuple[StatedChange, ...]
    runtime: tuple[StatedChange, ...]
    components: tuple[StatedChange, ...]
    documents: tuple[FileChange, ...]

    @property
    def is_empty(self) -> bool:
        """Tell whether the two are the same release."""
        return self.old_digest == self.new_digest

    def changes(self, area: str) -> tuple[Change, ...]:
        """Return the changes of one of `AREAS`."""
        found = getattr(self, area)
        return found.changes if isinstance(found, TrainingDifference) else tuple(found)

    def codes(self) -> tuple[str, ...]:
        """Return the stable codes of everything that differs, sorted, each once."""
        return tuple(sorted({code for area in AREAS for code in self._codes(area)}))

    def changed_areas(self) -> tuple[str, ...]:
        """Return the areas in which something differs, in the order of `AREAS`."""
        return tuple(area for area in AREAS if self.changes(area))

    def _codes(self, area: str) -> Iterator[str]:
        for change in self.changes(area):
            yield change.code
            if isinstance(change, WeightChange):
                yield from (tensor.code for tensor in change.tensors)


def difference(old: Release, new: Release) -> ReleaseDifference:
    """Return everything that differs from ``old`` to ``new``.

    Every member that differs is read and verified; the releases may be of two plugins
    (``PLUGIN_CHANGED``).

    Raises
    ------
    ReleaseTamperedError : a member is not what its manifest says.
    """
    stated = compared_statements(old, new)
    code, documents = file_changes(old, new)
    found = ReleaseDifference(
        old_digest=old.digest,
        new_digest=new.digest,
        code=code,
        weights=weight_changes(old, new),
        documents=documents,
        training=compared_training(old.manifest, new.manifest),
        preprocessing=(*stated["preprocessing"], *_of_subject(code, "preprocessing")),
        architecture=(*stated["architecture"], *_of_subject(code, "architecture")),
        **{
            area: stated[area]
            for area in (
                *("identity", "purpose", "inputs", "outputs", "envelope", "routing"),
                *("parameters", "limits", "runtime", "components"),
            )
        },
    )
    if found.is_empty or found.changed_areas():
        return found
    return replace(found, identity=(StatedChange("STATEMENT_CHANGED", MANIFEST, None, None),))


def encode(found: ReleaseDifference) -> dict[str, Any]:
    """Return the difference as JSON values, with codes and changed areas beside the areas."""
    return {
        **asdict(found),
        "codes": list(found.codes()),
        "changed_areas": list(found.changed_areas()),
    }


def _of_subject(code: tuple[FileChange, ...], subject: str) -> tuple[FileChange, ...]:
    return tuple(change for change in code if change.subject == subject)
