"""The MR sequences of the phantom: headers by which a release's rules tell its series apart.

A series is called by its key: ``MR`` is a T1-weighted spin echo after contrast, ``T2`` a
T2-weighted turbo spin echo with fat suppression before it; sequences and times as usual at 1.5 T.

Source: PS3.3 C.8.3.1 (MR image), C.7.6.4 (contrast).
Read next: `write_phantom_mr.py`, which writes them; `adapters/phantom_roles.py`, which chooses.
"""

from __future__ import annotations

from collections.abc import Mapping

T1, T2 = "MR", "T2"
SEQUENCES: Mapping[str, Mapping[str, str]] = {
    T1: {
        "SeriesDescription": "Synthetic T1 of a limb after contrast",
        "ProtocolName": "t1_se_tra_contrast",
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "",
        "RepetitionTime": "550",
        "EchoTime": "12",
        "EchoTrainLength": "1",
        "FlipAngle": "90",
        "ContrastBolusAgent": "Simulated",
        "ContrastBolusRoute": "IV",
    },
    T2: {
        "SeriesDescription": "Synthetic T2 of a limb with fat suppression",
        "ProtocolName": "t2_tse_fs_tra",
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "FS",
        "RepetitionTime": "4200",
        "EchoTime": "85",
        "EchoTrainLength": "15",
        "FlipAngle": "90",
    },
}
"""Series -> DICOM keyword -> value as text, without what both have in common."""
