"""Check a cohort: bytes, strata, coverage, one patient under two ids, leakage to a release.

Of a sealed cohort no byte is read: its files are checked as the harness reads them.

Read next: `opening.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from adapters.validation.cohorts import check_bytes, linkage_of, load
from audit.errors import ConfigurationError
from validation.cohort.cases import FolderFiles
from validation.cohort.coverage import coverage
from validation.cohort.leakage import duplicates, images_of, leaked, members_of
from validation.cohort.manifest import CohortError
from validation.cohort.strata import strata_of, with_mandatory

if TYPE_CHECKING:
    from adapters.compose import Site


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found: the table, and reasons why the cohort cannot be used."""

    document: dict[str, Any]
    reasons: tuple[str, ...]

    def require(self) -> None:
        """Return when nothing was found; CohortError with every reason if not."""
        if self.reasons:
            raise CohortError(
                f"expected a cohort as its manifest says, found {len(self.reasons)} faults",
                reasons=self.reasons,
            )


def check(site: Site, name: str, release: str, method: str, *, images: bool) -> Checked:
    """Return what a check of a cohort found.

    Raises
    ------
    NotFoundError : there is no such cohort, or release.
    ConfigurationError : another method, or the images of a sealed cohort are asked for.
    """
    if method not in ("held-out", "cross-fitted"):
        raise ConfigurationError("expected the method held-out or cross-fitted")
    kept = load(site.home, name)
    reasons = list(check_bytes(kept))
    if images:
        if kept.cohort.seal.state == "sealed":
            raise ConfigurationError("expected a cohort that is not sealed, to look at its images")
        reasons += duplicates(images_of(kept.cohort, FolderFiles(kept.folder)))
    if release:
        manifest = json.loads(site.registry.find(release).manifest)
        members = members_of(manifest, linkage_of(site.home, kept.cohort.linkage_key_id))
        reasons += leaked(kept.cohort, members, method)
    table = coverage(kept.cohort)
    document = table.document() | {
        "cohort": name,
        "digest": kept.digest,
        "seal": kept.cohort.seal.state,
        "reasons": reasons,
        "strata": [
            {
                "name": rule.name,
                "needs": rule.minimum_n,
                "n": len(
                    {
                        c.patient_group
                        for c in kept.cohort.cases
                        if rule.name in strata_of([rule], c)
                    }
                ),
            }
            for rule in with_mandatory(kept.cohort.strata)
        ],
    }
    return Checked(document, tuple(reasons))
