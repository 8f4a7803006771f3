"""A case: everything that a plugin sees of one study.

The case carries no name, number or date of the patient; `Subject` holds the few facts
that the envelope needs.

Read next: `findings.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from plugins.host.images import Plan, Radiograph, StructureSet, Vector3, Volume
from plugins.host.prescription import Prescription


@dataclass(frozen=True, slots=True)
class Subject:
    """Facts of the patient merged over the series of a study.

    Parameters
    ----------
    age_years : from PatientAge or birth and study date; None when unknown.
    sex : M, F, O, or None when unknown.
    weight_kg : None when unknown.
    conflicts : names of facts on which series disagree.
    """

    age_years: float | None = None
    sex: str | None = None
    weight_kg: float | None = None
    conflicts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """The typed input of one run.

    Parameters
    ----------
    images : by the role that the manifest declares, e.g. ``ct``, ``pet``.
    structure_sets, doses, plans : by role likewise.
    seed_point_mm : LPS point inside the lesion that a person marked, if any.
    body_part : DICOM Body Part Examined of the reference image, if stated.
    notes : what reading repaired or noticed, as stable codes.
    radiographs : by role, all views of the series.
    prescription : doses to targets, and who stated them; None where nobody did.
    """

    study_instance_uid: str
    subject: Subject
    images: Mapping[str, Volume]
    structure_sets: Mapping[str, StructureSet] = field(default_factory=dict)
    doses: Mapping[str, Volume] = field(default_factory=dict)
    plans: Mapping[str, Plan] = field(default_factory=dict)
    seed_point_mm: Vector3 | None = None
    body_part: str | None = None
    notes: tuple[str, ...] = ()
    radiographs: Mapping[str, tuple[Radiograph, ...]] = field(default_factory=dict)
    prescription: Prescription | None = None

    def sop_instance_uids(self) -> tuple[str, ...]:
        """Return the sorted SOP Instance UIDs of everything in the case."""
        uids: set[str] = set()
        for volume in (*self.images.values(), *self.doses.values()):
            uids.update(volume.sop_instance_uids)
        uids.update(item.sop_instance_uid for views in self.radiographs.values() for item in views)
        uids.update(item.sop_instance_uid for item in self.structure_sets.values())
        uids.update(item.sop_instance_uid for item in self.plans.values())
        return tuple(sorted(uids))
