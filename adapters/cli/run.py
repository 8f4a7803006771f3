"""`osteon run`: one plugin on a folder of DICOM files, results as files.

Research use: no release has to be active.  The run is recorded in the home like any other;
asking for the same input again gives the same run, and its results are written again
without a second inference.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from adapters.cli.progress import spinner, wait_for_runs
from adapters.cli.results import results_document, show_results
from adapters.cli.terminal import (
    FAILED,
    REFUSED,
    HomeOption,
    JsonOption,
    echo_json,
    set_up_logging,
)
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.delivery import Target

NO_STUDY = "no DICOM study in the folder"


def run(
    plugin: Annotated[str, typer.Option("--plugin", help="Plugin, or plugin-version, to run.")],
    source: Annotated[Path, typer.Option("--input", help="Folder of DICOM files, any order.")],
    output: Annotated[Path, typer.Option("--output", help="Folder for the results.")],
    seed_point: Annotated[
        str | None, typer.Option("--seed-point", help="x,y,z in LPS mm inside the lesion.")
    ] = None,
    held_out: Annotated[
        str | None,
        typer.Option("--held-out", help="Use only members that never saw this patient id."),
    ] = None,
    release: Annotated[
        Path | None, typer.Option("--release", help="A .osteon file instead of the newest one.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Infer again; the objects keep their UIDs.")
    ] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the program log.")] = False,
) -> None:
    """Run one plugin on a folder of DICOM files and write its results as files."""
    set_up_logging(verbose=verbose)
    from adapters.compose import open_site
    from adapters.database.runs import FOLDER
    from adapters.engine.serving import serving
    from adapters.hand import deliver_again, queue_by_hand
    from adapters.home import locate
    from adapters.published import add_newest
    from adapters.rt.read_folder import scan_folder
    from adapters.seeds.points import parse_point

    started = time.monotonic()
    seed = parse_point(seed_point)
    if not source.is_dir():
        raise ConfigurationError("expected --input to be a folder of DICOM files, found none")
    with spinner("reading the folder", quiet=as_json) as say:
        scan = scan_folder(source)
        targets = _targets(output)
        with (
            open_site(locate(home), scans={FOLDER: scan}, targets=targets) as site,
            serving(site) as turn,
        ):
            say("verifying the release")
            digest = add_newest(site, plugin, release)
            asked = queue_by_hand(
                site, scan, digest, seed_point_mm=seed, held_out=held_out, again=again
            )
            ids = wait_for_runs(site, turn, lambda: asked.run_ids, say=say) if asked.run_ids else ()
            for run_id in ids:
                deliver_again(site, run_id)
            document = results_document(site, ids, time.monotonic() - started)
    document["skipped_files"] = [f"{item.path}: {item.code}" for item in scan.skipped]
    document["not_run"] = list(asked.reasons) if scan.studies else [NO_STUDY]
    if as_json:
        echo_json(document)
    else:
        show_results(document)
        for reason in document["not_run"]:
            typer.echo(f"not run: {reason}")
        for code, count in sorted(Counter(item.code for item in scan.skipped).items()):
            typer.echo(f"skipped: {count} files ({code}); --json names them")
    finish(document)


def _targets(output: Path) -> tuple[Target, ...]:
    """Return the folder's targets; their names tell folders apart in the ledger."""
    from adapters.delivery.folder import FolderTarget, fhir_folder

    place = output.expanduser().resolve()
    name = f"output-{hashlib.sha256(str(place).encode()).hexdigest()[:12]}"
    return FolderTarget(name, place), fhir_folder(f"{name}-fhir", place)


def finish(document: dict[str, object]) -> None:
    """Leave with the exit code of what happened: 0 done, 1 failed, 3 refused or abstained."""
    runs = document["runs"]
    statuses = {run["status"] for run in runs} if isinstance(runs, list) else set()
    if "failed" in statuses:
        raise typer.Exit(FAILED)
    if statuses != {"done"}:
        raise typer.Exit(REFUSED)
