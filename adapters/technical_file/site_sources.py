"""The sources of a release's technical file, as they lie at this site.

Members and attachments come from the unpacked release, documents from the site database, the
interface registry from the configuration: names, kinds and directions, no address, no secret.

Read next: `governance/technical_file/sources.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters.config import Configuration
from adapters.database import Database
from adapters.database.deployments import ReleaseRow
from adapters.database.transaction import Transaction
from adapters.home import Home
from governance.ports import GovernedStore
from governance.release import folder_name, open_unpacked
from governance.signing import TrustedKey, load_trust
from governance.technical_file.gates import Desk
from governance.technical_file.sources import INTERFACES, VERSIONS, Sources, collect


@dataclass(frozen=True, slots=True)
class SourceRoom:
    """Collects the sources of any release of a site."""

    home: Home
    configuration: Configuration
    database: Database
    now: Callable[[], datetime]

    def sources(self, release_digest: str, documents: GovernedStore) -> Sources:
        """Return the sources of a release; NotFoundError when it does not lie here."""
        release = open_unpacked(self.home.releases / folder_name(release_digest))
        stated = {
            INTERFACES: interfaces(self.configuration),
            VERSIONS: earlier_versions(
                str(release.manifest["plugin"]),
                str(release.manifest["version"]),
                self._releases(documents),
            ),
        }
        return collect(release, documents, stated, self.trust(), self.now().date())

    def trust(self) -> tuple[TrustedKey, ...]:
        """Return the keys that count now."""
        return load_trust(self.home.keys / "trust.json")

    def desk(self) -> Desk:
        """Return what the gates of the technical documentation ask."""
        return Desk(self.sources, self.trust)

    def _releases(self, documents: GovernedStore) -> tuple[ReleaseRow, ...]:
        if isinstance(documents, Transaction):  # the open one: it sees what it has written
            return documents.releases()
        with self.database.reading() as transaction:
            return transaction.releases()


def interfaces(configuration: Configuration) -> list[dict[str, Any]]:
    """Return what the site connects, by name, kind and direction."""
    rows = [
        {
            "name": section.name,
            "kind": section.kind,
            "direction": "studies in" if section.watch else "results out",
            "objects": "DICOM",
        }
        for section in configuration.pacs
    ]
    rows += [
        {
            "name": target.name,
            "kind": target.kind,
            "direction": "results out",
            "objects": ", ".join(target.documents) or "every document",
        }
        for target in configuration.targets
    ]
    return rows


def earlier_versions(
    plugin: str, version: str, releases: Iterable[ReleaseRow]
) -> list[dict[str, str]]:
    """Return the earlier versions of a plugin at this site; a later one changes nothing here."""
    rows = [
        {"version": row.version, "digest": row.digest}
        for row in releases
        if row.plugin == plugin and _key(row.version) < _key(version)
    ]
    return sorted(rows, key=lambda row: (_key(row["version"]), row["digest"]))


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])
