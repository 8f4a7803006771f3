"""`osteon audit consent`: put on record what a patient agreed to or not."""

from __future__ import annotations

from typing import Annotated

import typer

from adapters.cli.audit import app
from adapters.cli.terminal import ConfigOption, HomeOption, JsonOption, echo_json
from audit.errors import ConfigurationError


@app.command("consent")
def consent(
    study: Annotated[str, typer.Argument(help="Study Instance UID of a study of the patient.")],
    decision: Annotated[str, typer.Option(help="permit, deny or withdrawn.")],
    basis: Annotated[str, typer.Option(help="Legal basis as a code, such as GDPR-9-2-h.")],
    reference: Annotated[
        str, typer.Option(help="Where it is written; kept as a keyed pseudonym alone.")
    ] = "",
    home: HomeOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Record the decision of a study's patient; a refusal bars the patient's runs from then on."""
    from adapters.cli.account import signed_in
    from adapters.compose import open_site
    from adapters.database.consent_records import DECISIONS, Consent
    from adapters.home import locate

    if decision not in DECISIONS:
        raise ConfigurationError(f"expected a decision in {DECISIONS}, found another")
    with open_site(locate(home), config) as site:
        person = f"account:{signed_in(site).account_id}"
        stated = Consent(decision, reference, basis)
        with site.database.transaction() as transaction:
            event_id = site.journal.consent(transaction, study, stated, person)
        site.seal()
    if as_json:
        echo_json({"record": event_id, "decision": decision})
    else:
        typer.echo(f"recorded {decision} as {event_id}")
