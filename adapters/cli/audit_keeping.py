"""`osteon audit purge`: keep the log as long as it must be, and let go of it by two persons.

Read next: `../keeping/purging.py`.
"""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.cli.audit import app
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json


@app.command("purge")
def purge(
    propose: Annotated[
        bool, typer.Option("--propose", help="Keep the plan as an order (administrator).")
    ] = False,
    approve: Annotated[
        str, typer.Option(help="Carry out this order, as a second person (approver).")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Purge records whose time is over; without an option, show what is due.

    The policy is the section retention of the configuration: ten years by default, never under
    183 days, longer by state and for minors.  What a legal hold names stays.  The leaf hashes
    stay too, so every proof remains valid; `audit verify` tells a tombstone from a missing record.
    """
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.keeping import purging
    from audit.errors import ConfigurationError

    if propose and approve:
        raise ConfigurationError("expected --propose or --approve, found both")
    with open_site(locate(home), config) as site:
        if propose:
            order = purging.propose(site, signed_in(site))
            shown = {"order": order.name, "count": order.content["count"], "state": "proposed"}
        elif approve:
            done = purging.approve(site, approve, signed_in(site))
            shown = {"order": approve, "count": done.count, "state": "done"}
            shown |= {"record": done.event_id, "scrubbed": done.is_scrubbed}
        else:
            found = purging.plan(site)
            shown = {"count": found.count, "policy_sha256": found.policy.digest}
            shown |= {"before": found.before.isoformat() if found.before else ""}
    if as_json:
        echo_json(shown)
        return
    for key, value in shown.items():
        typer.echo(f"{key}: {value}")
    if shown.get("scrubbed") is False:
        typer.echo("Somebody reads: the old bytes leave the write-ahead log when nobody does.")
