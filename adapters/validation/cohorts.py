"""Cohorts of a site: kept in ``home/cohorts/NAME/``, built once, sealed once.

    cohort.json        the manifest; its digest names the cohort
    coverage.json      the coverage table of the manifest
    files/             images and masks; sealed ones are the ciphertext, at the same paths
    seal.json          the wrapped data key, where the cohort is sealed

``keys/cohort.key`` is the harness's key, ``keys/cohort-linkage.key`` makes pseudonyms; both are
files of mode 0600.  Sealing writes every file sealed, then removes the plain ones.

Read next: `opening.py`.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from adapters.governance.persons import Person
from audit import canonical
from audit.errors import NotFoundError, RefusalError
from audit.keys import symmetric_key
from validation.cohort import reading
from validation.cohort.cases import FolderFiles
from validation.cohort.coverage import coverage
from validation.cohort.linkage import Linkage, public_linkage, secret_linkage
from validation.cohort.manifest import Cohort, CohortError, FileEntry, Seal
from validation.cohort.seal import decode, encode, new_data_key, public_of, seal_file, wrap

if TYPE_CHECKING:
    from adapters.compose import Site
    from adapters.home import Home

MANIFEST, COVERAGE, SEAL = "cohort.json", "coverage.json", "seal.json"
KEY, LINKAGE = "cohort.key", "cohort-linkage.key"
MAKERS = ("physicist", "engineer", "approver", "compliance")
SEALERS = ("physicist", "approver", "compliance")


@dataclass(frozen=True, slots=True)
class Kept:
    """A cohort of the site and the folder that it lies in."""

    cohort: Cohort
    folder: Path

    @property
    def digest(self) -> str:
        """Digest of the cohort, with its seal."""
        return reading.digest(self.cohort)

    @property
    def content_digest(self) -> str:
        """Digest of the cohort without its seal."""
        return reading.content_digest(self.cohort)


def folder_of(home: Home, name: str) -> Path:
    """Return where a cohort lies; NotFoundError for what cannot be the name of one."""
    if not name or any(not (letter.isalnum() or letter in "-.+") for letter in name):
        raise NotFoundError(f"expected the name of a cohort, found {name[:40]!r}")
    return Path(home.cohorts) / name


def load(home: Home, name: str) -> Kept:
    """Return a cohort of the site.

    Raises
    ------
    NotFoundError : there is none of that name.
    CohortError : its manifest is malformed, or its seal is another's.
    """
    folder = folder_of(home, name)
    try:
        raw = (folder / MANIFEST).read_bytes()
    except OSError as error:
        raise NotFoundError(f"expected a cohort {name}, found none") from error
    return Kept(reading.decode(raw), folder)


def names(home: Home) -> tuple[str, ...]:
    """Return the names of the cohorts that lie at the site, sorted."""
    return tuple(sorted(path.parent.name for path in Path(home.cohorts).glob(f"*/{MANIFEST}")))


def linkage_of(home: Home, key_id: str = "") -> Linkage:
    """Return the key that makes pseudonyms: a public data set's, or the site's secret one.

    Raises
    ------
    CohortError : the cohort was made with a key that is not this site's (COHORT_OTHER_KEY).
    """
    if key_id.startswith("public:"):
        return public_linkage(key_id.removeprefix("public:"))
    own = secret_linkage(symmetric_key(home.keys / LINKAGE))
    if key_id and key_id != own.key_id:
        raise CohortError(
            f"expected pseudonyms by {own.key_id}, found {key_id[:40]}",
            reasons=("COHORT_OTHER_KEY",),
        )
    return own


def keep(site: Site, cohort: Cohort, building: Path, person: Person) -> Kept:
    """Move a cohort that was built into the home, on record; a name is taken once.

    Raises
    ------
    RefusalError : the role may not, or the name is taken (COHORT_EXISTS).
    """
    require(person, MAKERS)
    folder = folder_of(site.home, cohort.name)
    if folder.exists():
        raise CohortError(
            f"expected no cohort {cohort.name}, found one",
            reasons=("COHORT_EXISTS",),
            advice="Give it another name or version; a cohort that was judged on stays.",
        )
    (building / MANIFEST).write_bytes(reading.encode(cohort))
    (building / COVERAGE).write_bytes(canonical.encode(coverage(cohort).document()))
    shutil.move(building, folder)
    kept = Kept(cohort, folder)
    record(site, "built", kept, person)
    return kept


def seal(site: Site, name: str, openings: int, alpha: float, person: Person) -> Kept:
    """Seal a cohort for this site's harness, and remove the plain files.

    Raises
    ------
    RefusalError : the role may not (who builds models does not seal), or it is sealed already.
    CohortError : a file differs from the manifest; nothing was changed.
    """
    require(person, SEALERS)
    kept = load(site.home, name)
    if kept.cohort.seal.state == "sealed":
        raise CohortError("expected a cohort without a seal", reasons=("SEAL_EXISTS",))
    sealed = kept.cohort.with_seal(Seal("sealed", openings, alpha))
    digest, data_key = reading.digest(sealed), new_data_key()
    building = kept.folder.with_name(f".{name}.sealing")
    shutil.rmtree(building, ignore_errors=True)
    try:
        files = FolderFiles(kept.folder)
        for entry in entries(sealed):
            place = building / entry.path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(seal_file(files.read(entry), data_key, digest, entry.path))
        public = public_of(symmetric_key(site.home.keys / KEY))
        (building / SEAL).write_bytes(encode(wrap(data_key, public, digest)))
        (building / COVERAGE).write_bytes((kept.folder / COVERAGE).read_bytes())
        (building / MANIFEST).write_bytes(reading.encode(sealed))
        old = kept.folder.with_name(f".{name}.plain")
        kept.folder.rename(old)
        building.rename(kept.folder)
        wipe(old)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    found = Kept(sealed, kept.folder)
    record(site, "sealed", found, person)
    return found


def sealed_bytes(kept: Kept, entry: FileEntry) -> bytes:
    """Return the sealed bytes of a file; CohortError where it is missing."""
    try:
        return (kept.folder / entry.path).read_bytes()
    except OSError as error:
        reason = f"COHORT_FILE_MISSING {entry.path}"
        raise CohortError("expected a file of the cohort", reasons=(reason,)) from error


def check_bytes(kept: Kept) -> tuple[str, ...]:
    """Return a reason for each file that differs; of a sealed cohort only what is missing."""
    found = []
    if kept.cohort.seal.state == "sealed":
        decode((kept.folder / SEAL).read_bytes())
        missing = [e for e in entries(kept.cohort) if not (kept.folder / e.path).is_file()]
        return tuple(f"COHORT_FILE_MISSING {entry.path}" for entry in missing)
    files = FolderFiles(kept.folder)
    for entry in entries(kept.cohort):
        try:
            files.read(entry)
        except CohortError as error:
            found += list(error.reasons)
    return tuple(found)


def entries(cohort: Cohort) -> tuple[FileEntry, ...]:
    """Return every file of a cohort."""
    return tuple(entry for case in cohort.cases for entry in case.files())


def wipe(folder: Path) -> None:
    """Overwrite the files of a folder once and remove it.

    On a journalling or copy-on-write file system, or flash, old blocks may outlive this.
    """
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            with path.open("r+b") as file:
                file.write(bytes(path.stat().st_size))
    shutil.rmtree(folder)


def record(site: Site, action: str, kept: Kept, person: Person) -> None:
    """Put what was done with a cohort on record."""
    digests = (kept.digest, kept.content_digest)
    site.database.run(lambda t: site.journal.cohort(t, action, digests, person.account_id))
    site.seal()


def require(person: Person, roles: tuple[str, ...]) -> None:
    """Return when the person's role is one of these; RefusalError if not."""
    if person.role not in roles:
        raise RefusalError(
            f"role {person.role} is not one of {', '.join(roles)}",
            reasons=("ROLE_NOT_PERMITTED",),
            advice="Let a person in that role do it.",
        )
