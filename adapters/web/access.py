"""Who may open which route: one table, walked by a test; sessions and CSRF tokens.

A session is a signed, expiring statement in a cookie (HttpOnly, SameSite=Strict): account,
role, when it ends, and a random CSRF token that every form repeats.  Nothing is open but
what the table says is open: no sign-in means no page (PEERS pitfall P20).

Source: OWASP ASVS 4.0.3 chapters 3 (sessions) and 4 (access control).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta

from governance import corrective, holds, incidents, recall, stops
from governance.accounts import Account
from governance.lifecycle import TRANSITIONS
from governance.monitoring import reevaluation
from governance.oversight.assessment import REVIEWERS
from governance.oversight.reviewers import NOTIFIERS

EVERYBODY = frozenset(
    {"clinician", "physicist", "engineer", "approver", "compliance", "administrator"}
)
OPERATORS = frozenset({"physicist", "engineer", "administrator"})
SEEDERS = OPERATORS | {"clinician"}
EVIDENCE_READERS = EVERYBODY - {"engineer"}
"""Who may take evidence out of the house: who answers for it, and compliance."""
GLASS_BREAKERS = frozenset({"clinician", "physicist", "approver"})
"""Who may see the identity behind one pseudonym for a while: who treats or has to tell."""

INCIDENT_REPORTERS = frozenset(incidents.REPORTERS) - {"service"}
_STAFF = frozenset(holds.PLACERS)
_APPROVERS = frozenset(incidents.DECIDERS)
INCIDENT_ACTS = {
    "move": _STAFF,
    "classify": INCIDENT_REPORTERS,
    "hold": _STAFF,
    "lift": _APPROVERS,
    "snapshot": OPERATORS - {"administrator"} | _APPROVERS,
    "aware": INCIDENT_REPORTERS,
    "report": INCIDENT_REPORTERS,
    "suspend": INCIDENT_REPORTERS,
    "notice": _APPROVERS,
    "acknowledge": INCIDENT_REPORTERS,
    "plan": frozenset(corrective.ROLES),
    "finish": frozenset(corrective.ROLES),
    "verify": frozenset(corrective.VERIFIERS),
}
"""What may be done on the page of an incident, by whom; the rules of the office decide too."""

RELEASE_ACTS = {
    action: frozenset(
        role for row in TRANSITIONS if row.action == action for person in row.persons
        for role in person
    ) - {"service"}
    for action in (
        *("approve", "shadow", "canary", "activate", "waive", "rollback", "suspend", "retire"),
    )
}  # fmt: skip
"""What may be done on the page of a release, by whom: as the lifecycle table says."""

# (method, route) -> roles; None means open, "token" means the metrics token.
ROUTES: dict[tuple[str, str], frozenset[str] | str | None] = {
    ("GET", "/health"): None,
    ("GET", "/metrics"): "token",
    ("GET", "/sign-in"): None,
    ("POST", "/sign-in"): None,
    ("GET", "/sign-in/provider"): None,
    ("GET", "/sign-in/return"): None,
    ("GET", "/signed-out"): None,
    ("GET", "/language/{language}"): None,
    ("GET", "/static/{path:path}"): None,
    ("POST", "/sign-out"): EVERYBODY,
    ("GET", "/"): EVERYBODY,
    ("GET", "/runs"): EVERYBODY,
    ("GET", "/runs/{run_id}/slices"): EVERYBODY,
    ("GET", "/runs/{run_id}/slices/{number}"): EVERYBODY,
    ("POST", "/runs/{run_id}/assess"): frozenset(REVIEWERS),
    ("GET", "/runs/{run_id}/trade-off"): EVERYBODY,
    ("POST", "/runs/{run_id}/trade-off"): frozenset(REVIEWERS),
    ("GET", "/runs/{run_id}/trade-off/{kind}/{key}"): EVERYBODY,
    ("GET", "/patients"): EVERYBODY,
    ("GET", "/patients/{pseudonym}"): EVERYBODY,
    ("POST", "/patients/{pseudonym}/break-glass"): GLASS_BREAKERS,
    ("GET", "/audit"): EVERYBODY,
    ("GET", "/audit/verify"): EVERYBODY,
    ("GET", "/audit/records/{leaf_index}"): EVERYBODY,
    ("GET", "/audit/searches/keep"): EVERYBODY,
    ("GET", "/audit/searches/drop"): EVERYBODY,
    ("GET", "/oversight"): EVERYBODY,
    ("GET", "/evidence"): EVERYBODY,
    ("GET", "/evidence/pack"): EVIDENCE_READERS,
    ("POST", "/oversight/staff-notice"): frozenset(NOTIFIERS),
    ("GET", "/runs/{run_id}"): EVERYBODY,
    ("GET", "/runs/{run_id}/overview.png"): EVERYBODY,
    ("POST", "/runs/{run_id}/retry"): OPERATORS,
    ("POST", "/runs/{run_id}/discard"): OPERATORS,
    ("POST", "/runs/{run_id}/force"): OPERATORS,
    ("POST", "/runs/{run_id}/seed"): SEEDERS,
    ("GET", "/account"): EVERYBODY,
    ("POST", "/account"): EVERYBODY,
    ("GET", "/technical-files"): EVERYBODY,
    ("GET", "/releases"): EVERYBODY,
    ("GET", "/releases/{digest}"): EVERYBODY,
    ("GET", "/releases/{digest}/card"): EVERYBODY,
    ("GET", "/releases/{digest}/recall"): frozenset(recall.READERS),
    ("POST", "/releases/{digest}/acknowledge"): frozenset(recall.ACKNOWLEDGERS),
    ("POST", "/releases/{digest}/handle"): frozenset(recall.HANDLERS),
    **{("POST", f"/releases/{{digest}}/{act}"): to for act, to in RELEASE_ACTS.items()},
    ("POST", "/stops/stop"): frozenset(stops.STOPPERS) - {"service"},
    ("POST", "/stops/lift"): frozenset(stops.LIFTERS),
    ("GET", "/history"): EVERYBODY,
    ("GET", "/releases/{digest}/technical-file"): EVERYBODY,
    ("GET", "/monitoring"): EVERYBODY,
    ("GET", "/monitoring/{digest}"): EVERYBODY,
    ("GET", "/validation"): EVERYBODY,
    ("GET", "/validation/{run_id}"): EVERYBODY,
    ("GET", "/validation/{run_id}/pictures/{name}"): EVERYBODY,
    ("GET", "/validation/{run_id}/files/{name}"): EVERYBODY,
    ("GET", "/validation/commissioning/{plan_id}/files/{name}"): EVERYBODY,
    ("GET", "/alarms"): EVERYBODY,
    ("POST", "/alarms/{name}/decide"): frozenset(reevaluation.DECIDERS),
    ("POST", "/alarms/{name}/acknowledge"): frozenset(reevaluation.ACKNOWLEDGERS),
    ("POST", "/alarms/{name}/silence"): frozenset(reevaluation.DECIDERS),
    ("GET", "/incidents"): EVERYBODY,
    ("POST", "/incidents"): INCIDENT_REPORTERS,
    ("GET", "/incidents/{incident_id}"): EVERYBODY,
    **{("POST", f"/incidents/{{incident_id}}/{act}"): to for act, to in INCIDENT_ACTS.items()},
}

SESSION_LASTS = timedelta(hours=8)
IDLE_LASTS = timedelta(minutes=30)
"""A session that nobody uses for so long is over (ASVS 4.0.3 3.3.2)."""
REFRESHED = timedelta(minutes=1)
"""How old the note of the last use may be before the cookie is written anew."""
COOKIE = "osteon_session"


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, until when, and the token that the forms of the session carry.

    Parameters
    ----------
    verifier_digest : short digest of the password verifier; a new password ends the session.
    seen_at : when it was last used, to a minute.
    """

    account_id: str
    role: str
    ends_at: float
    csrf: str
    must_change_password: bool = False
    verifier_digest: str = ""
    seen_at: float = 0.0

    @property
    def session_id(self) -> str:
        """Return what names the session where it is noted as ended; tells nothing of it."""
        return hashlib.sha256(b"osteon.session-id/1\0" + self.csrf.encode()).hexdigest()


def open_session(account: Account, now: datetime) -> Session:
    """Return a fresh session of an account that ends after `SESSION_LASTS`."""
    return Session(
        account_id=account.account_id,
        role=account.role,
        ends_at=(now + SESSION_LASTS).timestamp(),
        csrf=secrets.token_urlsafe(24),
        must_change_password=account.must_change_password,
        verifier_digest=_verifier_digest(account),
        seen_at=now.timestamp(),
    )


def is_idle(session: Session, now: datetime) -> bool:
    """Return whether nobody used a session for too long."""
    return now.timestamp() - session.seen_at > IDLE_LASTS.total_seconds()


def refreshed(session: Session, now: datetime) -> Session | None:
    """Return the session with its last use noted anew; None where the note is young enough."""
    young = now.timestamp() - session.seen_at < REFRESHED.total_seconds()
    return None if young else replace(session, seen_at=now.timestamp())


def still_holds(session: Session, account: Account | None, now: datetime) -> bool:
    """Return whether the account is open and has the role and password that it signed in with."""
    if account is None or account.account_id != session.account_id:
        return False
    is_open = account.disabled_at is None or account.disabled_at > now
    same_password = same_text(session.verifier_digest, _verifier_digest(account))
    return is_open and account.role == session.role and same_password


def encode(session: Session, key: bytes) -> str:
    """Return the signed cookie value of a session; inverse of `decode`."""
    payload = urlsafe_b64encode(json.dumps(asdict(session), sort_keys=True).encode())
    return f"{payload.decode()}.{_tag(payload, key)}"


def decode(cookie: str, key: bytes, now: datetime) -> Session | None:
    """Return the session that a cookie states; None when forged, malformed or over."""
    payload, _, tag = cookie.partition(".")
    if not same_text(_tag(payload.encode(), key), tag):
        return None
    try:
        session = Session(**json.loads(urlsafe_b64decode(payload)))
    except TypeError:  # signed by a suite whose sessions have other fields
        return None
    return session if session.ends_at > now.timestamp() else None


def same_text(one: str, other: str) -> bool:
    """Return whether two texts are the same, in a time that does not tell where they differ."""
    return hmac.compare_digest(
        one.encode(errors="surrogatepass"), other.encode(errors="surrogatepass")
    )


def _verifier_digest(account: Account) -> str:
    return hashlib.sha256(account.password_verifier.encode()).hexdigest()[:16]


def _tag(payload: bytes, key: bytes) -> str:
    return hmac.new(key, b"osteon.session/1\0" + payload, hashlib.sha256).hexdigest()
