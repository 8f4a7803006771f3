"""The geometry known-answer test on this installation: write, read, outline, read back.

    1  a phantom's CT and MR are written as DICOM and read as every study is
    2  its lesion is outlined as a structure set, which is read back as a mask
    3  images, mask and the place of the lesion are compared with what is known

Read next: `governance/known_answer.py`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from governance.known_answer import KnownAnswer
from plugins.host.findings import Segmentation
from plugins.host.images import Code, Geometry, Volume
from plugins.host.manifest import Input, Manifest, Output
from plugins.host.ports import RunRequest

if TYPE_CHECKING:
    from pydicom import Dataset

    from adapters.rt.equipment import WritingContext

_RUN_ID = "0" * 32
_ROUNDING = 0.501
"""What is stored are whole numbers; the rest is single precision."""


@cache
def known_answer() -> KnownAnswer:
    """Return what the test finds on this installation; once for each process."""
    return examine_geometry()


def examine_geometry() -> KnownAnswer:
    """Make the test and return what it found."""
    from adapters.rt.equipment import encode
    from adapters.rt.raster import mask_from_contours
    from adapters.rt.read_series import read_series
    from adapters.rt.read_structures import read_structures
    from adapters.rt.write_phantom import PhantomStudy, encode_limb
    from adapters.rt.write_structure_set import write_structure_set
    from validation.phantoms.limb import LimbParameters, limb

    parameters = LimbParameters(
        has_pet=False, margin_mm=(20.0, 25.0, 25.0), noise_hu=0.0, has_mr=True
    )
    phantom = limb(parameters)  # without noise, which the stored range would cut
    # 1
    files = encode_limb(phantom, PhantomStudy(name="known-answer", patient_id="KNOWN-ANSWER"))
    of_ct, of_mr = ([files[n] for n in files if n.startswith(kind)] for kind in ("CT-", "MR-"))
    volume, source = read_series(of_ct, "CT")
    seen, _ = read_series(of_mr, "MR")
    image_differs = _differing(volume, phantom.ct_hu) + _differing(seen, phantom.mr)
    # 2
    context, region = _outlined(volume.geometry, phantom.tumour, source.first)
    written = encode(write_structure_set(context, source, [region]))
    structures, _ = read_structures(written)
    mask = mask_from_contours(structures.rois[0].contours, volume.geometry)
    # 3
    found = volume.geometry.to_patient(np.argwhere(mask).mean(axis=0))
    known = np.asarray(phantom.parameters.centre_mm, dtype=np.float64)
    shift = volume.geometry.to_index(found) - volume.geometry.to_index(known)
    return KnownAnswer(
        (float(shift[0]), float(shift[1]), float(shift[2])),
        image_differs,
        int((mask != phantom.tumour).sum()),
    )


def _differing(volume: Volume, written: NDArray[np.float32] | None) -> int:
    """Return how many voxels of an image did not come back."""
    return -1 if written is None else int((np.abs(volume.array - written) > _ROUNDING).sum())


def _outlined(
    geometry: Geometry, mask: NDArray[np.bool_], header: Dataset
) -> tuple[WritingContext, Segmentation]:
    """Return the lesion as a finding, and what its structure set is written with."""
    from adapters.rt.equipment import WritingContext
    from adapters.rt.identity import inherit

    category = Code("49755003", "SCT", "Morphologically Abnormal Structure")
    lesion = Code("86049000", "SCT", "Neoplasm, Primary")
    manifest = Manifest(
        plugin="known_answer",
        version="1.0.0",
        title="Geometry known-answer test",
        intended_purpose="Test this installation",
        evidence="analytic",
        inputs=(Input("ct", "CT"),),
        outputs=(Output("Segmentation", "GTVp", "86049000", "SCT", "Neoplasm, Primary"),),
    )
    request = RunRequest(
        run_id=_RUN_ID,
        study_instance_uid=str(header.StudyInstanceUID),
        plugin=manifest.plugin,
        plugin_version=manifest.version,
        release_digest="sha256:" + "0" * 64,
        mode="research",
        series={"ct": str(header.SeriesInstanceUID)},
        sop_instance_uids=(),
        opened_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
    region = Segmentation("GTVp", mask, geometry, "ct", category, lesion, "GTV")
    return WritingContext(request, manifest, inherit(header), "SITE"), region
