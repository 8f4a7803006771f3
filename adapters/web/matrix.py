"""The table of routes and roles in print: what `docs/access.md` holds.

Read next: `access.py`.
"""

from __future__ import annotations

from adapters.web.access import EVERYBODY, ROUTES

ROLES = tuple(sorted(EVERYBODY))


def matrix_markdown() -> str:
    """Return the whole table of access as Markdown, in the order of the code.

    Examples
    --------
    >>> matrix_markdown().splitlines()[2].split("|")[1].strip()
    '`GET /health`'
    """
    lines = [
        f"| route | {' | '.join(ROLES)} |",
        f"|---|{'---|' * len(ROLES)}",
    ]
    for (method, route), rule in ROUTES.items():
        if rule is None:
            cells = ["open"] * len(ROLES)
        elif isinstance(rule, str):
            cells = [rule] * len(ROLES)
        else:
            cells = ["yes" if role in rule else "–" for role in ROLES]
        lines.append(f"| `{method} {route}` | {' | '.join(cells)} |")
    return "\n".join(lines)
