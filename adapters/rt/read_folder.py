"""Find studies and series in any folder of files.

No naming convention is assumed and nothing is moved.  Files that are not DICOM are
skipped and listed with the code of the reason.  A DICOM file that is damaged stays with
its series where that can still be told: leaving it out would shorten the volume without a
word, so reading the series fails instead.

Read next: `adapters/case_source.py`.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset
from pydicom.datadict import keyword_for_tag
from pydicom.multival import MultiValue

from adapters.rt.read_alike import HeaderReader
from adapters.rt.read_part10 import read_identity, readable_values
from audit.errors import InputError, MissingAttributeError, NotFoundError
from plugins.host.facts import SeriesFacts, StudyFacts

DICOMDIR = "1.2.840.10008.1.3.10"
TEXT_VRS = frozenset(
    {"AS", "CS", "DS", "FD", "FL", "IS", "LO", "SH", "SL", "SS", "UC", "UI", "UL", "US"}
)
PATIENT_KEYWORDS = frozenset({"PatientAge", "PatientSex", "PatientWeight", "PatientSize"})
WITHHELD_KEYWORDS = frozenset(
    {
        "AccessionNumber",
        "StudyID",
        "DeviceSerialNumber",
        "InstitutionalDepartmentName",
        "InstitutionName",
        "StationName",
        "RequestedProcedureID",
        "PerformedProcedureStepID",
        "ScheduledProcedureStepID",
        "AdmissionID",
        "DeviceUID",
        "GantryID",
        "CassetteID",
    }
)
STUDY_KEYWORDS = ("StudyDescription", "PatientAge", "PatientSex", "PatientWeight")


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that is not part of any series, and the code that says why.

    The path may hold a patient's name: show it to the person who gave the folder, but put
    it in no log or record.
    """

    path: Path
    code: str


@dataclass(frozen=True, slots=True)
class FolderScan:
    """What lies in a folder: studies as a PACS would describe them, and their files."""

    studies: tuple[StudyFacts, ...]
    files: Mapping[str, tuple[Path, ...]]
    skipped: tuple[SkippedFile, ...]


def scan_folder(folder: Path) -> FolderScan:
    """Return studies and series of a folder and everything below it, or of one file.

    Raises
    ------
    NotFoundError : the folder does not exist.
    """
    if not folder.exists():
        raise NotFoundError("expected a folder of DICOM files, found none under the given path")
    found: dict[str, _Series] = {}
    skipped: list[SkippedFile] = []
    reader = HeaderReader()
    for path in _walk(folder):
        try:
            with readable_values("the file"):
                dataset = _identified(path, reader)
                if _is_dicomdir(dataset):
                    skipped.append(SkippedFile(path, "DICOMDIR"))
                    continue
                uid = str(dataset.SeriesInstanceUID)
                if uid not in found:
                    found[uid] = _Series(dataset)
        except InputError as error:
            skipped.append(SkippedFile(path, error.code))
        except OSError:
            skipped.append(SkippedFile(path, "UNREADABLE"))
        else:
            found[uid].add(path, dataset, skipped)
    files = {uid: tuple(series.paths.values()) for uid, series in found.items()}
    return FolderScan(_studies(found), files, tuple(skipped))


def series_tags(dataset: Dataset) -> dict[str, str]:
    """Return what routing rules may ask of a header: keyword -> text.

    Names, numbers and dates of the patient are left out.
    """
    tags: dict[str, str] = {}
    for tag in dataset.keys():  # noqa: SIM118 - iterating the data set converts all elements
        if tag.is_private or tag.group > 0x0054:
            continue
        keyword = keyword_for_tag(tag)
        if not keyword or keyword in WITHHELD_KEYWORDS:
            continue
        if tag.group == 0x0010 and keyword not in PATIENT_KEYWORDS:
            continue
        element = dataset[tag]
        if element.VR not in TEXT_VRS or element.value in (None, ""):
            continue
        value = element.value
        values = value if isinstance(value, (MultiValue, list)) else [value]
        tags[keyword] = "\\".join(str(item) for item in values)
    return tags


def _walk(folder: Path) -> Iterator[Path]:
    if folder.is_file():
        yield folder
    for place, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(place) / name
            if path.is_file():
                yield path


def _identified(path: Path, reader: HeaderReader) -> Dataset:
    """Return the header of a file; of a damaged one, what identifies it."""
    failure: InputError | None = None
    try:
        dataset = reader.read(path).dataset
    except InputError as error:
        failure, dataset = error, read_identity(path)
    if failure is None and _is_dicomdir(dataset):
        return dataset
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        if not dataset.get(keyword):
            raise failure or MissingAttributeError(f"expected {keyword}, found none")
    return dataset


def _is_dicomdir(dataset: Dataset) -> bool:
    return str(dataset.file_meta.get("MediaStorageSOPClassUID") or "") == DICOMDIR


class _Series:
    """What a scan keeps of a series: its first header's tags and the place of each object."""

    def __init__(self, dataset: Dataset) -> None:
        self.study_instance_uid = str(dataset.StudyInstanceUID)
        self.modality = str(dataset.get("Modality") or "")
        self.tags = series_tags(dataset)
        self.paths: dict[str, Path] = {}
        self.sop_instance_uids: set[str] = set()
        self.frames: set[str] = set()

    def add(self, path: Path, dataset: Dataset, skipped: list[SkippedFile]) -> None:
        """File a path under its instance; the same bytes again are skipped."""
        uid = str(dataset.SOPInstanceUID)
        known = self.paths.get(uid)
        if known is not None and filecmp.cmp(known, path, shallow=False):
            skipped.append(SkippedFile(path, "DUPLICATE_INSTANCE"))
            return
        # Two objects under one UID: both stay, and reading the series says so.
        self.paths[uid if known is None else f"{uid} {path}"] = path
        self.sop_instance_uids.add(uid)
        self.frames.add(str(dataset.get("FrameOfReferenceUID") or ""))

    def facts(self, uid: str) -> SeriesFacts:
        """Return the series as a PACS would describe it."""
        return SeriesFacts(
            series_instance_uid=uid,
            modality=self.modality,
            sop_instance_uids=tuple(sorted(self.sop_instance_uids)),
            frame_of_reference_uid=(min(self.frames) or None) if len(self.frames) == 1 else None,
            tags=self.tags,
        )


def _studies(found: Mapping[str, _Series]) -> tuple[StudyFacts, ...]:
    grouped: dict[str, list[SeriesFacts]] = {}
    tags: dict[str, dict[str, str]] = {}
    for uid in sorted(found):
        series = found[uid]
        grouped.setdefault(series.study_instance_uid, []).append(series.facts(uid))
        known = tags.setdefault(series.study_instance_uid, {})
        for keyword in STUDY_KEYWORDS:
            if series.tags.get(keyword):
                known.setdefault(keyword, series.tags[keyword])
    return tuple(
        StudyFacts(study, tuple(grouped[study]), tags[study], sender="folder")
        for study in sorted(grouped)
    )
