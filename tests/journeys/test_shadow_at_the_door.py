"""Nothing of a run in shadow reaches an archive, a planning system or a record system.

The receivers are real: a folder archive, a storage SCP as the planning system, a FHIR server
that we did not write.  The live run beside it reaches all three, so that the test can fail.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from adapters.compose import Site, open_site
from adapters.engine.serving import serving
from adapters.governance.acts import act
from adapters.governance.comparing import compare_pairs
from adapters.governance.promoting import activate, start_shadow
from adapters.hand import act as by_hand
from adapters.hand import deliver_again
from adapters.home import Home
from audit.errors import ConfigurationError, NotStoredError
from plugins.host.pipeline import resume_delivery
from plugins.host.ports import Document, RunRequest
from plugins.host.result import RunResult
from tests.simulators.delivery_site import DeliverySite
from tests.simulators.dimse_peer import DimsePeer
from tests.simulators.example_site import configuration, small_phantom
from tests.simulators.fhir_server import FhirServer
from tests.simulators.governed_site import APPROVER, add_accounts, add_release, approved

KINDS = ("DiagnosticReport", "Observation", "Provenance", "Device", "ImagingStudy")


@dataclass(frozen=True)
class Doors:
    """What lies at the three receivers."""

    site: Site
    study: str
    peer: DimsePeer
    fhir: FhirServer

    def arrived(self) -> dict[str, list[bytes]]:
        """Return everything that was written to each receiver, as bytes, in a fixed order."""
        archive = self.site.archives["pacs"]
        with self.site.database.reading() as transaction:
            own = transaction.own_series_uids(self.study)
        pacs = [
            data
            for series in archive.search_series(self.study)
            if series.series_instance_uid in own
            for data in archive.retrieve_series(self.study, series.series_instance_uid)
        ]
        return {
            "pacs": sorted(pacs),
            "tps": sorted(self.peer.stored.values()),
            "ehr": sorted(repr(item).encode() for kind in KINDS for item in self.fhir.all(kind)),
        }


@contextmanager
def doors(root: Path, peer: DimsePeer, fhir: FhirServer) -> Iterator[tuple[Doors, str, str]]:
    """Answer one study by an active release and by one in shadow; yield the receivers."""
    targets: list[dict[str, Any]] = [
        {"name": "pacs", "kind": "pacs", "pacs": "pacs"},
        {"name": "tps", "kind": "dimse", "peer_aet": peer.aet, "peer_host": "127.0.0.1",
         "peer_port": peer.port},
        {"name": "ehr", "kind": "fhir", "url": fhir.url},
    ]  # fmt: skip
    settings_ = configuration(root, targets=targets)
    with open_site(Home(root / "home").create(), configuration=settings_) as site:
        add_accounts(site)
        one, two = (approved(site, add_release(site, version)) for version in ("1.0.0", "2.0.0"))
        activate(site, one, APPROVER, "first")
        start_shadow(site, two, APPROVER, "look")
        study, files = small_phantom()
        with serving(site) as turn:
            site.archives["pacs"].store(study, files)
            until(turn, lambda: len(closed(site)) == 2)
        yield Doors(site, study, peer, fhir), one, two


def until(turn: Callable[[], None], holds: Callable[[], bool]) -> None:
    """Let the site work until something holds."""
    ends = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < ends, "expected both runs to end, they did not"
        turn()
        time.sleep(0.01)


def closed(site: Site) -> dict[str, RunRequest]:
    """Return the requests of the runs that are done, by mode."""
    with site.database.reading() as transaction:
        return {row.mode: row.request for row in transaction.runs() if row.status == "done"}


@pytest.mark.server
@pytest.mark.slow
@pytest.mark.reg("AIA-43.4")
def test_nothing_of_a_run_in_shadow_passes_a_door(
    tmp_path: Path, dimse_peer: Callable[..., DimsePeer], fhir: FhirServer
) -> None:
    """The live result is at all three receivers; of the one in shadow not a byte is, ever."""
    with doors(tmp_path, dimse_peer({"store", "commitment"}), fhir) as (at, one, two):
        site, runs = at.site, closed(at.site)
        live, shadow = runs["research"], runs["shadow"]
        arrived = at.arrived()
        traces = [two[7:].encode(), shadow.run_id.encode(), b"2.0.0"]
        for name, objects in arrived.items():
            everything = b"".join(objects)
            assert any(mark in everything for mark in (one[7:].encode(), live.run_id.encode())), (
                f"the live result is not at {name}"
            )
            assert not [mark for mark in traces if mark in everything], name
        with site.database.reading() as transaction:
            kept = transaction.documents(shadow.run_id)
            own = {item.sop_instance_uid for item in kept if item.sop_instance_uid}
        assert own, "the run in shadow made objects that could leave"
        assert not own & set(at.peer.stored)
        for attempt in attempts(site, shadow, kept, two):
            attempt()
            assert at.arrived() == arrived


def attempts(
    site: Site, shadow: RunRequest, kept: tuple[Document, ...], two: str
) -> Iterator[Callable[[], object]]:
    """Yield every way in which persons or the suite could bring its documents to a target."""
    delivery = site.house.delivery
    yield lambda: delivery.deliver(shadow, kept)
    yield lambda: delivery.release(shadow.run_id)  # type: ignore[attr-defined]
    yield lambda: delivery.restart(shadow.run_id)  # type: ignore[attr-defined]
    yield lambda: refuse_to(lambda: deliver_again(site, shadow.run_id))
    waiting = RunResult(shadow.run_id, "delivering", documents=kept)
    yield lambda: resume_delivery(shadow, site.house, waiting)
    for action in ("force", "seed"):
        yield lambda action=action: refuse_to(
            lambda: by_hand(site, action, shadow.run_id, "account:clinician", "1,2,3")
        )
    yield lambda: compare_pairs(site)
    yield lambda: act(site, "suspend", two, APPROVER, {"reason": "seen enough"})

    def served() -> None:
        with serving(site) as turn:
            for _ in range(5):
                turn()
                time.sleep(0.05)

    yield served


def refuse_to(do: Callable[[], object]) -> None:
    """Do something that is refused by what it finds, or does nothing."""
    with suppress(ConfigurationError, NotStoredError):
        do()


MODES = ("clinical", "research", "shadow", "replay", "what_if", "Clinical ", "research\n", "")
_numbers = count(1)


@given(mode=st.sampled_from(MODES) | st.text(max_size=12))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_door_lets_two_modes_out_and_no_other(delivery_site: DeliverySite, mode: str) -> None:
    """Whatever a run calls its mode, only clinical and research reach a target at all."""
    archive = delivery_site.shaky()
    request, documents = delivery_site.run(next(_numbers))
    states = delivery_site.delivery(archive_target(archive)).deliver(
        replace(request, mode=mode), documents
    )
    leaves = mode in ("clinical", "research")
    assert bool(archive.calls) is leaves
    assert {item.state for item in states} == ({"verified"} if leaves else {"held"})


def archive_target(archive: Any) -> Any:
    """Return an archive as target of a delivery."""
    from adapters.delivery.pacs import PacsTarget

    return PacsTarget(archive.name, archive)
