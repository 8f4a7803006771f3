"""Pictures of single cases of a run: drawn while they are judged, kept of the worst.

    validations/RUN/pictures/CASE--GIVEN.png

Which cases are the worst is known at the end, and an answer is not kept until then: every
unchanged case is drawn, and what the report will not show is deleted.  The digest of each picture
that stays goes on record beside that of the results, and not into it: letters are drawn by a
library whose next version may draw them otherwise.

Read next: `adapters/documents/comparison.py`, which draws them.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from adapters.documents.canvas import encode_png
from adapters.documents.comparison import Comparison, draw_comparison
from governance.release import digest_of
from plugins.host.findings import Segmentation
from validation.harness.cases import Evaluation
from validation.harness.results import RunResults
from validation.report.document import tampered
from validation.report.findings import worst
from validation.report.metric_terms import MEASURED

PICTURES = "pictures"
MARK = "RESEARCH USE - NOT APPROVED"


class Album:
    """The folder of a run's pictures."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def page(self, case_id: str, given: str) -> Callable[[Evaluation, Segmentation], None]:
        """Return what draws a case and writes it, when it is shown answer and reference."""

        def draw(evaluation: Evaluation, found: Segmentation) -> None:
            if evaluation.reference is None:
                return
            images = evaluation.case.images
            others = {r: v for r, v in images.items() if r != evaluation.reference_role}
            shown = Comparison(
                images[evaluation.reference_role], found, evaluation.reference, others, MARK,
                f"{case_id} · {given}",
            )  # fmt: skip
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / name_of(case_id, given)
            building = path.with_suffix(f".{threading.get_ident()}.new")
            building.write_bytes(encode_png(draw_comparison(shown)))
            building.replace(path)

        return draw


def name_of(case_id: str, given: str) -> str:
    """Return the name of the picture of a case with what the release got."""
    return f"{case_id}--{given}.png"


def keep_worst(folder: Path, results: RunResults, headline: str) -> dict[str, str]:
    """Delete pictures of cases that the report does not show; return the others' digests by name.

    Parameters
    ----------
    folder : of the run.
    headline : metric by which the report orders cases.
    """
    known = MEASURED.get(headline)
    rows = worst(results.cases, headline, higher=known is None or known.better == "higher")
    wanted = {name_of(row["case"], row["given"]) for row in rows}
    kept: dict[str, str] = {}
    for path in sorted((folder / PICTURES).glob("*.png")):
        if path.name in wanted:
            kept[path.name] = digest_of(path.read_bytes())
        else:
            path.unlink()
    return kept


def pictures_of(folder: Path, recorded: Mapping[str, str]) -> dict[str, bytes]:
    """Return the pictures of a run that are on record, by ``case/given``.

    Parameters
    ----------
    recorded : digests by name, as `keep_worst` gave them.

    Raises
    ------
    ReportTamperedError : a picture is not the one that was drawn (PICTURE_CHANGED).
    """
    found: dict[str, bytes] = {}
    for name, digest in sorted(recorded.items()):
        path = folder / PICTURES / name
        if not path.is_file():
            continue  # a report without a picture says so
        content = path.read_bytes()
        if digest_of(content) != digest:
            raise tampered("PICTURE_CHANGED", f"the picture {digest}", digest_of(content))
        case, _, given = path.stem.rpartition("--")
        found[f"{case}/{given}"] = content
    return found
