"""The command `osteon`: every group of commands in one list.

Exit codes: 0 done, 1 failed, 2 usage, 3 refused (SEAMS: Commands).

Read next: `demo.py`.
"""

from __future__ import annotations

import sys
from importlib.metadata import entry_points

import typer

from adapters.cli import (
    account,
    audit,
    audit_consent,
    audit_keeping,
    bench,
    change,
    cohort,
    configuration,
    demo,
    dose,
    governance,
    governance_back,
    governance_drill,
    governance_history,
    incident,
    incident_evidence,
    keeping,
    key,
    monitor,
    monitor_pool,
    oversight,
    personnel,
    physics,
    release,
    run,
    runs,
    serve,
    technical_file,
    validate,
    validate_commission,
    validate_conformance,
    validate_criteria,
    validate_peers,
    validate_report,
    witness,
)
from adapters.cli.terminal import report_error
from adapters.writing import as_storage_error
from audit.errors import SuiteError

GOVERNANCE = (governance_back, governance_drill, governance_history)
"""Modules that add their commands to `osteon governance`."""
AUDIT = (audit_consent, audit_keeping)
"""Modules that add their commands to `osteon audit`."""
MONITOR = (monitor_pool,)
"""Modules that add their commands to `osteon monitor`."""
VALIDATE = (
    validate_commission, validate_conformance, validate_criteria, validate_report, validate_peers,
)  # fmt: skip
"""Modules that add their commands to `osteon validate`."""

app = typer.Typer(
    name="osteon",
    help=(
        "Clinical-AI plugins for the radiotherapy of primary bone tumours. "
        "Research use: not a certified medical device."
    ),
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.command("init")(configuration.init)
app.command("demo")(demo.demo)
app.command("run")(run.run)
app.command("serve")(serve.serve)
app.command("doctor")(configuration.doctor)
app.command("replay")(runs.replay)
app.command("bench")(bench.bench)
app.command("backup")(keeping.backup)
app.command("restore")(keeping.restore)
app.command("upgrade")(keeping.upgrade)
app.command("gamma")(physics.gamma)
app.command("dvh")(physics.dvh)
app.command("compare-contours")(physics.compare_contours)
app.command("predict-dose")(dose.predict_dose)
app.command("login")(account.login)
app.command("logout")(account.logout)
app.add_typer(runs.app, name="runs", help="Look at runs, and act on them by hand.")
app.add_typer(runs.route, name="route", help="Try the routing rules without running anything.")
app.add_typer(configuration.app, name="config", help="Check and show the configuration.")
app.add_typer(release.app, name="release", help="Build, verify and list releases.")
app.add_typer(governance.app, name="governance", help="Decide which release runs here.")
incident.app.add_typer(incident_evidence.app)
app.add_typer(incident.app, name="incident", help="Report and handle serious incidents.")
app.add_typer(change.app, name="change", help="Classify changes; plan, budget, duties.")
app.add_typer(
    technical_file.app, name="technical-file", help="Technical documentation of a release."
)
app.add_typer(cohort.app, name="cohort", help="Build, check, seal and size cohorts.")
app.add_typer(key.app, name="key", help="Keys: trust, rotate, revoke, protect.")
app.add_typer(personnel.app, name="personnel", help="Overseers, training, instructions read.")
app.add_typer(oversight.app, name="oversight", help="Rates of review; import assessments.")
app.add_typer(monitor.app, name="monitor", help="What is watched, found and decided.")
app.add_typer(account.app, name="account", help="Persons and their roles.")
app.add_typer(audit.app, name="audit", help="Verify, export and keep the audit log.")
app.add_typer(validate.app, name="validate", help="Judge a release; certificates and reports.")
app.add_typer(witness.app, name="witness", help="Witness the audit logs of others.")


def add_plugin_commands() -> None:
    """Add the commands that plugins bring (entry points ``osteon.commands``)."""
    for point in entry_points(group="osteon.commands"):
        app.add_typer(point.load(), name=point.name)


def main() -> None:
    """Run the command line; a known failure ends with one readable line and its code."""
    add_plugin_commands()
    try:
        app()
    except SuiteError as error:
        sys.exit(report_error(error))
    except OSError as error:
        if error.errno is None:
            raise
        sys.exit(report_error(as_storage_error(error, "to read and write")))


if __name__ == "__main__":
    main()
