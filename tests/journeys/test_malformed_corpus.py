"""Everything that is wrong with a study, sent to a serving site: each gets its answer.

The readers are tested one by one in `tests/adapters/test_read_malformed.py`; here the whole
corpus arrives at once, among good studies, and nothing of the patient gets out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adapters.cli.terminal import set_up_logging
from adapters.compose import open_site
from adapters.governance.acts import waive
from adapters.governance.persons import DEMONSTRATOR
from adapters.home import Home
from adapters.published import sign_bundle
from plugins.host.manifest import Input
from tests.simulators import dicom_objects as objects
from tests.simulators.answers import PROMPT, drive
from tests.simulators.example_site import activate, configuration, served
from tests.simulators.released_plugins import bundle

METHODS = """
def predict(self, case, parameters):
    size = Measurement(CODE, float(case.images["pet"].array.max()), "1")
    return Prediction((size,), Uncertainty("trial", 0.5, (0.4, 0.6)))
"""
REFUSED: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "missing slice": (objects.missing_slice, "INPUT_GEOMETRY"),
    "duplicate slice position": (objects.duplicate_position, "INPUT_GEOMETRY"),
    "two acquisitions": (objects.two_acquisitions, "INPUT_MIXED_SERIES"),
    "interleaved acquisitions": (objects.interleaved_acquisitions, "INPUT_MIXED_SERIES"),
    "gantry tilt": (objects.gantry_tilt, "INPUT_GEOMETRY"),
    "absurd spacing": (objects.absurd_spacing, "INPUT_GEOMETRY"),
    "absurd slice spacing": (objects.absurd_slice_spacing, "INPUT_GEOMETRY"),
    "missing frame of reference": (
        lambda: objects.without("FrameOfReferenceUID"),
        "INPUT_MISSING_ATTRIBUTE",
    ),
    "PET without dose": (objects.pet_without_dose, "INPUT_UNITS"),
    "PET without weight": (lambda: objects.without("PatientWeight", "PT"), "INPUT_UNITS"),
    "2 GB announced": (objects.two_gigabytes, "INPUT_TOO_LARGE"),
    "larger than the site's limit": (
        lambda: objects.encode_all(objects.image_series(shape=(12, 256, 256))),
        "INPUT_TOO_LARGE",
    ),
}
NO_RUN: dict[str, Callable[[], list[bytes]]] = {"wrong modality": objects.wrong_modality}
REFUSED_BY_THE_ARCHIVE: dict[str, Callable[[], list[bytes]]] = {
    "text": lambda: objects.not_dicom()[-1:],
    "an empty file": lambda: [b""],
    "no pixels": lambda: objects.without("PixelData")[-1:],
    "pixels cut off": lambda: objects.truncated_pixels()[-1:],
    "a header cut off": lambda: objects.truncated_header()[-1:],
}


def _renamed(files: list[bytes], name: str) -> list[bytes]:
    """Give files UIDs of a study of their own, of the same length, so that nothing moves."""

    def other(found: re.Match[bytes]) -> bytes:
        digest = hashlib.sha256(name.encode() + found[0]).hexdigest()
        digits = str(int(digest, 16))[: len(found[0]) - len(b"2.25.1")]
        return b"2.25.1" + digits.encode()

    return [re.sub(rb"2\.25\.\d{15,}", other, content) for content in files]


def _study_of(files: list[bytes], name: str) -> str:
    (renamed,) = _renamed([objects.uid("study").encode()], name)
    assert all(renamed in content for content in files)
    return renamed.decode()


def _good(name: str) -> list[bytes]:
    """Return a CT with enough bone for the example plugin."""
    datasets = objects.image_series(shape=(12, 24, 24))
    for dataset in datasets:
        values = np.full((24, 24), -1000, np.int16)
        values[2:22, 2:22] = 40
        values[4:20, 4:20] = 900
        objects.set_pixels(dataset, values)
    return _renamed(objects.encode_all(datasets), name)


def _site(root: Path) -> Home:
    home = Home(root / "home").create()
    path = root / "trial.osteon"
    path.write_bytes(bundle(METHODS, inputs=[asdict(Input("pet", "PT"))], outputs=[]))
    with open_site(home, configuration=configuration(root)) as site:
        activate(site, "example", root)
        digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
        waive(site, digest, DEMONSTRATOR, "test", timedelta(days=1))
    return home


@pytest.mark.slow
def test_the_whole_corpus_at_a_serving_site(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each study is refused by its own code, the good ones among them are done, and no name,
    number or birth date of a patient is in a log, a record, the database or a file name."""
    home = _site(tmp_path)
    set_up_logging(verbose=True)
    expected = {}
    limits = {"input_mb": 1, "free_space_mb": 16}
    with served(home, tmp_path, trigger=PROMPT, limits=limits) as (site, turn):
        archive = site.archives["pacs"]

        def send(name: str, files: list[bytes]) -> str:
            study = _study_of(files, name)
            outcomes = archive.store(study, files)
            assert {item.status for item in outcomes} == {"stored"}, name
            return study

        expected[send("good one", _good("good one"))] = ("done", "")
        for name, (build, code) in REFUSED.items():
            expected[send(name, _renamed(build(), name))] = ("refused", code)
        expected[send("good two", _good("good two"))] = ("done", "")
        for name, build in NO_RUN.items():
            send(name, _renamed(build(), name))
        for name, build in REFUSED_BY_THE_ARCHIVE.items():
            outcomes = archive.store(objects.uid("study"), build())
            assert [item.status for item in outcomes] == ["failed"], name
        drive(site, turn, len(expected))
        with site.database.reading() as transaction:
            rows = transaction.runs(limit=1000)
            leaves = [leaf.leaf for leaf in transaction.leaves(0, transaction.tree_size())]
        found = {row.study_instance_uid: (row.status, row.reason) for row in rows}
        assert found == expected
        assert len(rows) == len(expected)
        site.verify_log()
    _check_nothing_got_out(home, leaves, "".join(capfd.readouterr()), list(found))


def _check_nothing_got_out(home: Home, leaves: Any, out: str, studies: list[str]) -> None:
    names = " ".join(str(path) for path in home.root.rglob("*"))
    tables = b"".join(home.file(name).read_bytes() for name in ("site.db", "engine.db"))
    for word in objects.PATIENT_WORDS:
        assert word not in out
        assert word not in names
        assert word.encode() not in b"\n".join(leaves)
        assert word.encode() not in tables
    for study in studies:
        assert study not in out
        assert study.encode() not in b"\n".join(leaves)
