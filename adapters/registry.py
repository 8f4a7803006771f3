"""The releases that lie at this site: registered, verified, unpacked for the workers.

Fulfils `plugins.host.ports.Releases`.  A release is verified when it is added; the worker
verifies it again before every load.

Read next: `governance/release.py`.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from adapters.database import Database, Transaction
from adapters.database.deployments import ReleaseRow
from adapters.database.journal import SiteJournal
from adapters.home import Home
from audit.errors import NotFoundError
from governance.certificate import ATTACHMENT
from governance.certification import Office, Standing
from governance.commissioning import commissioned
from governance.components import SBOM
from governance.deployment import Certified, Decision, is_authorised, known, register
from governance.gates import Objection
from governance.release import (
    Release,
    attach,
    folder_name,
    open_release,
    open_unpacked,
    put_attachment,
    read_attachment,
    unpack,
    verify_unpacked,
)
from governance.signature_gate import require_signature, signature_objections
from governance.signing import FOLDER, TrustedKey, load_trust
from governance.stops import barred
from plugins.host import manifest as manifests
from plugins.host.artifact import check_host_api
from plugins.host.manifest import Manifest
from plugins.host.ports import RunRequest


@dataclass(frozen=True, slots=True)
class ReleaseRegistry:
    """Releases of one site."""

    home: Home
    database: Database
    site: str
    mode: str
    now: Callable[[], datetime]
    journal: SiteJournal

    def add(self, path: Path, *, person: str = "service:osteon", signed: bool = True) -> Release:
        """Verify a bundle, keep it, unpack it and register it; twice changes nothing.

        That it came, from whom and under whose signature, is recorded with its state.

        Raises
        ------
        ReleaseTamperedError, SignatureError : nothing was kept.
        HostApiError : this suite cannot run the release; nothing was kept.
        """
        release = open_release(path)
        release.verify()
        check_host_api(release)
        signed_by = self.verify_signature(release) if signed else ""
        kept = self.home.releases / f"{folder_name(release.digest)}.osteon"
        if not kept.exists():
            building = kept.with_suffix(".new")
            shutil.copyfile(path, building)
            building.replace(kept)
        unpack(release, self.home.releases / folder_name(release.digest))
        plugin, version = release.manifest["plugin"], release.manifest["version"]
        row = ReleaseRow(
            release.digest, plugin, version, str(kept), json.dumps(dict(release.manifest))
        )
        self.database.run(lambda transaction: self._register(transaction, row, person, signed_by))
        return release

    def _register(
        self, transaction: Transaction, row: ReleaseRow, person: str, signed_by: str
    ) -> None:
        """Keep a release and its record together; one that lies here already is left alone."""
        decision = Decision(self.site, self.mode, person, "engineer", self.now())
        known = {(item.site, item.release_digest) for item in transaction.deployments(row.plugin)}
        transaction.put_release(row.digest, row.plugin, row.version, row.path, row.manifest)
        if (self.site, row.digest) not in known:
            register(transaction, decision, row.plugin, row.digest)
            self.journal.release(transaction, "add", row, person, signed_by)

    def verify_signature(self, release: Release) -> str:
        """Return the id of the trusted key that signed the release; SignatureError if none."""
        return require_signature(_signatures(release), release.digest, self.trust()).key_id

    def signature_objections(self, release_digest: str) -> tuple[Objection, ...]:
        """Return why the signature of a release that lies here does not count now."""
        release = open_unpacked(self.home.releases / folder_name(release_digest))
        return signature_objections(_signatures(release), release.digest, self.trust())

    def trust(self) -> tuple[TrustedKey, ...]:
        """Return the keys that count at this site now."""
        return load_trust(self.home.keys / "trust.json")

    @property
    def office(self) -> Office:
        """What a certificate is judged with here."""
        return Office(lambda digest: self.attachment(digest, ATTACHMENT), self.trust)

    def certificate_standing(self, transaction: Transaction, release_digest: str) -> Standing:
        """Return whether a release may run on its certificate, in the site's mode, now."""
        row = transaction.release(release_digest)
        manifest = json.loads(row.manifest) if row else {}
        return self.office.standing(release_digest, manifest, self.mode, transaction, self.now())

    def may_run(self, transaction: Transaction, request: RunRequest) -> bool:
        """Return whether the release of a run that ended may run its study once more, now."""
        try:
            present = known(transaction, self.site, request.release_digest)
        except NotFoundError:  # it was never registered under the name that the site has now
            return False
        if barred(transaction, present, request.plugin, shadow=request.mode == "shadow"):
            return False
        return is_authorised(present, self.now(), self.mode, self.certified(transaction))

    def certified(self, transaction: Transaction) -> Certified:
        """Return the function that says of a release whether its certificate holds now."""
        return lambda digest: self.certificate_standing(transaction, digest).holds

    def standing(self, request: RunRequest) -> Standing:
        """Return whether the release may run this request now, and on which certificate.

        A run by hand on files asks for no activation; only a stop or its signature bars it.
        """
        digest, present = request.release_digest, None
        with self.database.reading() as transaction:
            found = self.certificate_standing(transaction, digest)
            if request.trigger != "manual":
                present = known(transaction, self.site, digest)
            reasons = barred(transaction, present, request.plugin, shadow=request.mode == "shadow")
            here = commissioned(transaction, digest, self.site, self.now(), self.trust())
        barring = (*reasons, *self.signature_objections(digest))
        return replace(found, barred=barring, commissioned=here)

    def attachment(self, release_digest: str, name: str) -> bytes | None:
        """Return an attachment of a release that lies here; None where it has none."""
        return read_attachment(self.home.releases / folder_name(release_digest), name)

    def attach(self, release_digest: str, name: str, content: bytes) -> None:
        """Attach something to a release, or replace it: in the bundle, then where it is used."""
        attach(Path(self.row(release_digest).path), name, content)
        put_attachment(self.home.releases / folder_name(release_digest), name, content)

    def verify(self, release_digest: str) -> str:
        """Read every byte of a release, packed and unpacked; return who signed it.

        Raises
        ------
        ReleaseTamperedError, SignatureError, NotFoundError : it is not what it was.
        """
        bundle = open_release(Path(self.row(release_digest).path), release_digest)
        bundle.verify()
        verify_unpacked(self.home.releases / folder_name(release_digest))
        return self.verify_signature(bundle)

    def bill(self, release_digest: str) -> Mapping[str, Any] | None:
        """Return the bill of materials of a release; None where it has none that can be read."""
        release = open_release(Path(self.row(release_digest).path), release_digest)
        if SBOM not in release.manifest["members"]:
            return None
        try:
            found = json.loads(release.member(SBOM))
        except ValueError:
            return None
        return found if isinstance(found, dict) else None

    def row(self, release_digest: str) -> ReleaseRow:
        """Return a release that lies here; NotFoundError if unknown."""
        with self.database.reading() as transaction:
            row = transaction.release(release_digest)
        if row is None:
            raise NotFoundError(f"expected release {release_digest} at this site, found none")
        return row

    def manifest(self, release_digest: str) -> Manifest:
        """Return the plugin manifest of a release; NotFoundError if unknown."""
        return manifests.decode(json.loads(self.row(release_digest).manifest))

    def find(self, name: str) -> ReleaseRow:
        """Return a release by digest, digest prefix, plugin or plugin-version (newest first).

        Raises
        ------
        NotFoundError : there is none, or the newest version lies here in several builds.
        """
        with self.database.reading() as transaction:
            rows = transaction.releases()
        wanted = name.removeprefix("sha256:")
        matches = [
            row
            for row in rows
            if name in (row.plugin, f"{row.plugin}-{row.version}")
            or (len(wanted) >= 8 and row.digest.removeprefix("sha256:").startswith(wanted))
        ]
        if not matches:
            raise NotFoundError(f"expected a release called {name!r}, found none")
        newest = max(matches, key=_version_key)
        name_of = (newest.plugin, newest.version)
        same = [row.digest for row in matches if (row.plugin, row.version) == name_of]
        if len(same) > 1:
            raise NotFoundError(
                f"expected one release {newest.plugin} {newest.version}, found {len(same)}",
                advice=f"Name it by its digest: {', '.join(digest[:19] for digest in same)}.",
            )
        return newest


def _signatures(release: Release) -> tuple[bytes, ...]:
    """Return the signatures that are attached to a release."""
    return tuple(release.attachment(n) for n in release.attachments if n.startswith(FOLDER))


def _version_key(row: ReleaseRow) -> tuple[int, ...]:
    return tuple(int(part) for part in row.version.split(".")[:3])
