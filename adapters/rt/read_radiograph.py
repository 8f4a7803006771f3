"""Read the projection images (CR, DX) of one series.

A radiograph has no place in the patient: its Frame of Reference, if it states one, says
nothing, and one series may hold several views of different size.  What a pixel measures
depends on the plane, so the spacing comes with its meaning.

Standard: PS3.3 A.2 (CR), A.26 (DX), 10.7 (Basic Pixel Spacing Calibration), C.7.6.1.1.1
(Patient Orientation), C.7.6.3.1.2 (MONOCHROME1), C.8.11.7 (DX Image).

Read next: `read_pixels.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom import Dataset

from adapters.rt.read_checks import DEFAULT_LIMIT_BYTES, check_series, check_size, read_all
from adapters.rt.read_facts import acquisition_facts
from adapters.rt.read_frames import Frame, numbers, scale_of
from adapters.rt.read_part10 import Instance, Source, readable_values
from adapters.rt.read_pixels import decode, pixel_format, same_pixels
from adapters.rt.sources import SourceSeries
from audit.errors import GeometryError, UnitsError
from audit.pseudonym import short
from plugins.host.images import Radiograph

MODALITIES = ("CR", "DX")
REQUIRED = ("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID")
LARGEST_SPACING_MM = 5.0
SMALLEST_SIDE = 16
"""Pixels; a radiograph with fewer shows nothing."""


def read_radiographs(
    sources: Sequence[Source | Instance], modality: str, *, limit_bytes: int = DEFAULT_LIMIT_BYTES
) -> tuple[tuple[Radiograph, ...], SourceSeries]:
    """Return the decoded images of a series and their headers, by Instance Number.

    Raises
    ------
    ModalityError, MissingAttributeError, MixedSeriesError, TruncatedError, TooLargeError,
    TransferSyntaxError : as for a stack of slices.
    GeometryError : several frames in an object, a size or spacing that cannot be, or two
        objects under one UID that differ.
    UnitsError : values are given by a table or with an impossible slope.
    """
    with readable_values(f"the {modality} series"):
        instances = read_all(sources)
        notes = check_series(instances, modality, REQUIRED)
        check_size(instances, limit_bytes)
        kept = sorted(_without_copies(instances), key=lambda item: _order(item.dataset))
        images = tuple(_read(item, modality, notes) for item in kept)
    uid = str(kept[0].dataset.SeriesInstanceUID)
    return images, SourceSeries(uid, tuple(item.dataset for item in kept))


def spacing_of(dataset: Dataset) -> tuple[tuple[float, float] | None, str]:
    """Return the distance between rows and between columns, and what it is measured in.

    Source: PS3.3 10.7.1.3: Pixel Spacing that equals Imager Pixel Spacing is at the
    detector; one that differs was calibrated, by the Calibration Type where that is stated.
    """
    patient = _two(dataset, "PixelSpacing")
    detector = _two(dataset, "ImagerPixelSpacing")
    if patient is None:
        return detector, "unknown" if detector is None else "detector"
    kind = str(dataset.get("PixelSpacingCalibrationType") or "")
    if kind == "FIDUCIAL":
        return patient, "fiducial"
    if kind == "GEOMETRY":
        return patient, "geometry"
    if detector is None:
        return patient, "unknown"
    return patient, "detector" if patient == detector else "calibrated"


def _read(instance: Instance, modality: str, notes: Sequence[str]) -> Radiograph:
    dataset = instance.dataset
    uid = str(dataset.SOPInstanceUID)
    layout = pixel_format(instance)
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise GeometryError(f"expected one frame in instance {short(uid)}, found several")
    if min(layout.rows, layout.columns) < SMALLEST_SIDE:
        raise GeometryError(
            f"expected at least {SMALLEST_SIDE} rows and columns in instance {short(uid)}, found "
            f"{layout.rows} x {layout.columns}"
        )
    if "ModalityLUTSequence" in dataset:
        raise UnitsError("expected Rescale Slope and Intercept, found a Modality LUT Sequence")
    words = ("RescaleSlope", "RescaleIntercept")
    slope, intercept = (scale_of(dataset.get(word), word, uid) for word in words)
    scale = (1.0 if slope is None else slope, intercept or 0.0)
    spacing, meaning = spacing_of(dataset)
    found = {*notes}
    if layout.monochrome1:
        found.add("MONOCHROME1_TURNED")
    if str(dataset.get("LossyImageCompression") or "") == "01":
        found.add("LOSSY_COMPRESSED")
    if spacing is None:
        found.add("SPACING_NOT_STATED")
    orientation = dataset.get("PatientOrientation") or ("", "")
    return Radiograph(
        array=decode([instance], [_frame(uid)], [scale], turn_monochrome1=True)[0],
        spacing_mm=spacing,
        spacing_meaning=meaning,
        modality=modality,
        view_position=str(dataset.get("ViewPosition") or ""),
        laterality=str(dataset.get("ImageLaterality") or dataset.get("Laterality") or ""),
        patient_orientation=(str(orientation[0]), str(orientation[-1])),
        study_instance_uid=str(dataset.StudyInstanceUID),
        series_instance_uid=str(dataset.SeriesInstanceUID),
        sop_class_uid=str(dataset.SOPClassUID),
        sop_instance_uid=uid,
        acquisition=acquisition_facts(dataset),
        notes=tuple(sorted(found)),
    )


def _two(dataset: Dataset, keyword: str) -> tuple[float, float] | None:
    """Return a spacing in mm that a radiograph can have; None where the attribute is absent."""
    value = dataset.get(keyword)
    if value is None or value == "":
        return None
    uid = str(dataset.SOPInstanceUID)
    rows_mm, columns_mm = numbers(value, keyword, uid, 2)
    if not (0 < rows_mm <= LARGEST_SPACING_MM and 0 < columns_mm <= LARGEST_SPACING_MM):
        raise GeometryError(
            f"expected {keyword} above 0 and at most {LARGEST_SPACING_MM:g} mm in instance "
            f"{short(uid)}, found {rows_mm:g} and {columns_mm:g}"
        )
    return rows_mm, columns_mm


def _without_copies(instances: Sequence[Instance]) -> list[Instance]:
    """Return each object once; two that differ under one UID are refused."""
    by_uid: dict[str, Instance] = {}
    for item in instances:
        uid = str(item.dataset.SOPInstanceUID)
        first = by_uid.setdefault(uid, item)
        if first is item:
            continue
        same = pixel_format(first) == pixel_format(item)
        if not same or not same_pixels((first, item), _frame(uid, 0), _frame(uid, 1)):
            raise GeometryError(
                f"expected one object under SOP Instance UID {short(uid)}, found two that differ"
            )
    return list(by_uid.values())


def _order(dataset: Dataset) -> tuple[int, str]:
    number = str(dataset.get("InstanceNumber") or "")
    return (int(number) if number.isdigit() else 0, str(dataset.SOPInstanceUID))


def _frame(uid: str, instance_index: int = 0) -> Frame:
    """Return the one frame of an object, for the decoder; a radiograph has no position."""
    nowhere, axes = (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    return Frame(instance_index, 0, uid, nowhere, axes, (1.0, 1.0), None, None, None, "", ())
