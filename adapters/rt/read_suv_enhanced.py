"""Say what an enhanced PET object states in the words of the single-frame one.

So that `read_suv.py` decides the same way for both.  Enhanced PET gives the dose in MBq
where single-frame PET gives Bq, names the moment of decay correction outright, and states
its unit in the Real World Value Mapping.

A legacy converted object needs none of this: `read_flat.py` finds its single-frame words.

Standard: PS3.3 C.8.22.4 (Enhanced PET Isotope), C.8.22.2 (Enhanced PET Corrections),
C.7.6.16.2.11 (Real World Value Mapping); UCUM.

Read next: `read_suv.py`.
"""

from __future__ import annotations

from pydicom import Dataset
from pydicom.sequence import Sequence as Items

from audit.errors import UnitsError

ENHANCED_PET = "1.2.840.10008.5.1.4.1.1.130"
UNIT_CODES = {"Bq/ml": "BQML", "Bq/mL": "BQML", "g/ml{SUVbw}": "GML", "{SUVbw}g/ml": "GML"}
MEGA = 1.0e6
_COPIED = ("PatientWeight", "SeriesInstanceUID", "SOPInstanceUID", "AcquisitionDateTime")


def plain_header(dataset: Dataset) -> Dataset:
    """Return a header with the attributes of single-frame PET; those come back as they are.

    Raises
    ------
    UnitsError : the unit is not known here, or the frames are not corrected for decay.
    """
    kind = str(dataset.get("SOPClassUID") or "")
    if kind != ENHANCED_PET or dataset.get("Units"):
        return dataset
    plain = Dataset()
    for keyword in _COPIED:
        if dataset.get(keyword) not in (None, ""):
            setattr(plain, keyword, dataset.get(keyword))
    plain.Units = _units(dataset)
    plain.CorrectedImage = [
        value
        for keyword, value in (("AttenuationCorrected", "ATTN"), ("DecayCorrected", "DECY"))
        if str(dataset.get(keyword) or "") == "YES"
    ] or ["NONE"]
    if plain.Units == "BQML":
        moment = str(dataset.get("DecayCorrectionDateTime") or "")
        if str(dataset.get("DecayCorrected") or "") != "YES" or len(moment) < 14:
            raise UnitsError("expected DecayCorrectionDateTime for SUV, found none")
        plain.DecayCorrection = "START"
        plain.SeriesDate, plain.SeriesTime = moment[:8], moment[8:14]
        # The moment is stated, so no acquisition may take its place.
        plain.pop("AcquisitionDateTime", None)
    plain.RadiopharmaceuticalInformationSequence = Items(
        [_isotope(item) for item in dataset.get("RadiopharmaceuticalInformationSequence") or ()]
    )
    return plain


def _units(dataset: Dataset) -> str:
    """Return Units as single-frame PET writes them."""
    groups = [
        *(dataset.get("SharedFunctionalGroupsSequence") or ()),
        *(dataset.get("PerFrameFunctionalGroupsSequence") or ())[:1],
    ]
    for group in groups:
        for mapping in group.get("RealWorldValueMappingSequence") or ():
            for code in mapping.get("MeasurementUnitsCodeSequence") or ():
                value = str(code.get("CodeValue") or "")
                if value not in UNIT_CODES:
                    raise UnitsError(f"expected Bq/ml or g/ml{{SUVbw}}, found {value[:16]}")
                return UNIT_CODES[value]
    raise UnitsError("expected RealWorldValueMappingSequence with a unit for PET, found none")


def _isotope(item: Dataset) -> Dataset:
    """Return an isotope item with its dose in Bq."""
    plain = Dataset()
    plain.update(item)
    dose = item.get("RadionuclideTotalDose")
    if dose not in (None, ""):
        plain.RadionuclideTotalDose = f"{float(dose) * MEGA:.10g}"
    return plain
