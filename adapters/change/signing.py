"""Plans and evidence signed with the keys of this site; who signed it is on record.

Keys are made at the first signature: ``keys/plan.key`` and ``keys/report.key``.

Read next: `governance/change/plan_signing.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from adapters.change.acts import DECIDERS, MAKERS, require_role
from adapters.change.evidence import PURPOSE, SIGNATURE, read_document
from adapters.governance.persons import Person
from adapters.keys import signing_key
from adapters.writing import write_whole
from governance.change import plan_signing
from governance.change.plan_signing import sign_plan
from governance.release import digest_of
from governance.signing import sign

if TYPE_CHECKING:
    from adapters.compose import Site


def sign_evidence(site: Site, path: Path, person: Person) -> Path:
    """Write ``NAME.sig`` beside an evidence file, record it, and return its path.

    Raises
    ------
    ConfigurationError : the file cannot be read as a document.
    RefusalError : the role may not.
    """
    require_role(person, MAKERS)
    read_document(path)
    digest = digest_of(path.read_bytes())
    key, key_id = signing_key(site.home, PURPOSE, site.now())
    signature = sign(digest, key, key_id, PURPOSE, site.now())
    site.configuration_changed("evidence-signed", "", digest, person.account_id)
    place = path.with_name(path.name + SIGNATURE)
    write_whole(place, signature)
    return place


def sign_plan_file(site: Site, path: Path, out: Path, person: Person) -> Path:
    """Write the signed plan of a plan file, record it, and return its path.

    Raises
    ------
    ConfigurationError : the plan is not complete; nothing was written.
    RefusalError : the role may not.
    """
    require_role(person, DECIDERS)
    key, key_id = signing_key(site.home, plan_signing.PURPOSE, site.now())
    signed = sign_plan(read_document(path), key, key_id, site.now())
    site.configuration_changed("plan-signed", "", digest_of(signed), person.account_id)
    write_whole(out, signed)
    return out
