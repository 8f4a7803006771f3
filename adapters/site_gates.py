"""Which gates a site has: what may object to a change of state, in the order of reading.

Read next: `governance/gates.py`.
"""

from __future__ import annotations

from adapters.change.origins import look
from adapters.config import Configuration
from adapters.home import Home
from adapters.known_answer import known_answer
from adapters.registry import ReleaseRegistry
from adapters.release_geometry import known_geometry
from adapters.technical_file.site_sources import SourceRoom
from governance.certification import CertificateGate
from governance.change.gates import budget_gate, change_gate
from governance.commissioning import CommissioningGate
from governance.components import ComponentsGate
from governance.gates import Gate
from governance.holds import hold_gate
from governance.known_answer import GeometryGate, PluginGeometryGate
from governance.promotion import Policy, PromotionGate
from governance.provider_shift import ProviderGate
from governance.signature_gate import SignatureGate


def site_gates(
    registry: ReleaseRegistry, home: Home, configuration: Configuration
) -> tuple[Gate, ...]:
    """Return every gate, in the order in which a person reads the objections; one line each."""
    section = configuration.governance
    return (
        SignatureGate(registry.signature_objections),
        CertificateGate(registry.office),
        GeometryGate(known_answer),
        PluginGeometryGate(known_geometry(registry, home.releases)),
        CommissioningGate(registry.trust),
        PromotionGate(Policy(section.minimum_pairs, section.agreement_floor)),
        change_gate,
        budget_gate,
        ComponentsGate(registry.bill),
        ProviderGate(lambda digest: look(registry, digest)),
        *SourceRoom(home, configuration, registry.database, registry.now).desk().gates(),
        hold_gate,
    )
