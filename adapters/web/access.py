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
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

EVERYBODY = frozenset(
    {"clinician", "physicist", "engineer", "approver", "compliance", "administrator"}
)
OPERATORS = frozenset({"physicist", "engineer", "administrator"})

# (method, route) -> roles; None means open, "token" means the metrics token.
ROUTES: dict[tuple[str, str], frozenset[str] | str | None] = {
    ("GET", "/health"): None,
    ("GET", "/metrics"): "token",
    ("GET", "/sign-in"): None,
    ("POST", "/sign-in"): None,
    ("GET", "/language/{language}"): None,
    ("GET", "/static/{path:path}"): None,
    ("POST", "/sign-out"): EVERYBODY,
    ("GET", "/"): EVERYBODY,
    ("GET", "/runs/{run_id}"): EVERYBODY,
    ("GET", "/runs/{run_id}/overview.png"): EVERYBODY,
    ("POST", "/runs/{run_id}/retry"): OPERATORS,
    ("POST", "/runs/{run_id}/discard"): OPERATORS,
    ("GET", "/account"): EVERYBODY,
    ("POST", "/account"): EVERYBODY,
}

SESSION_LASTS = timedelta(hours=8)
COOKIE = "osteon_session"


@dataclass(frozen=True, slots=True)
class Session:
    """Who is signed in, until when, and the token that the forms of the session carry."""

    account_id: str
    role: str
    ends_at: float
    csrf: str
    must_change_password: bool = False


def open_session(
    account_id: str, role: str, now: datetime, *, must_change_password: bool = False
) -> Session:
    """Return a fresh session that ends after `SESSION_LASTS`."""
    ends_at = (now + SESSION_LASTS).timestamp()
    return Session(account_id, role, ends_at, secrets.token_urlsafe(24), must_change_password)


def encode(session: Session, key: bytes) -> str:
    """Return the signed cookie value of a session; inverse of `decode`."""
    payload = urlsafe_b64encode(json.dumps(asdict(session), sort_keys=True).encode())
    return f"{payload.decode()}.{_tag(payload, key)}"


def decode(cookie: str, key: bytes, now: datetime) -> Session | None:
    """Return the session that a cookie states; None when forged, malformed or over."""
    payload, _, tag = cookie.partition(".")
    if not hmac.compare_digest(_tag(payload.encode(), key), tag):
        return None
    session = Session(**json.loads(urlsafe_b64decode(payload)))
    return session if session.ends_at > now.timestamp() else None


def _tag(payload: bytes, key: bytes) -> str:
    return hmac.new(key, b"osteon.session/1\0" + payload, hashlib.sha256).hexdigest()
