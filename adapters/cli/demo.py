"""`osteon demo`: the main job on a synthetic patient whose geometry is known.

A phantom is put into the PACS; the contouring plugin triggers by itself; the results come
back, are read back, and the audit log is verified.  No server is needed; with ``--pacs
orthanc`` the same happens through an Orthanc that is started on loopback.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adapters.cli.progress import spinner, wait_for_runs
from adapters.cli.results import results_document, show_results
from adapters.cli.terminal import FAILED, HomeOption, JsonOption, echo_json, set_up_logging
from audit.errors import ConfigurationError

if TYPE_CHECKING:
    from adapters.config import Configuration
    from adapters.home import Home

DEFAULT_HOME = Path("demo-output")
MARK = ".osteon-demo"


def demo(
    home: HomeOption = None,
    pacs: Annotated[str, typer.Option(help="embedded (a folder) or orthanc.")] = "embedded",
    plugin: Annotated[str, typer.Option(help="Which plugin to show.")] = "contouring",
    as_json: JsonOption = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the program log.")] = False,
) -> None:
    """Show the main job: a study arrives, a released plugin runs, verified results come back."""
    set_up_logging(verbose=verbose)
    if pacs not in ("embedded", "orthanc"):
        raise ConfigurationError(f"expected --pacs embedded or orthanc, found {pacs!r}")
    started = time.monotonic()
    place = _fresh_home(home)
    with spinner("making the site", quiet=as_json) as say:
        document = _journey(place, pacs, plugin, say, started)
    if as_json:
        echo_json(document)
    else:
        show_results(document)
    good = all(
        run["status"] == "done" and all(output["verified"] for output in run["outputs"])
        for run in document["runs"]
    )
    if not good:
        raise typer.Exit(FAILED)


def _fresh_home(option: Path | None) -> Path:
    """A home that was named is kept; the default one is made anew each time."""
    if option is not None:
        return option
    if (DEFAULT_HOME / MARK).exists():
        shutil.rmtree(DEFAULT_HOME)
    if DEFAULT_HOME.exists() and any(DEFAULT_HOME.iterdir()):
        raise ConfigurationError(
            f"expected to make {DEFAULT_HOME}/ anew, found other files in it",
            advice="Name another place with --home, or move the folder away.",
        )
    DEFAULT_HOME.mkdir(exist_ok=True)
    (DEFAULT_HOME / MARK).touch()
    return DEFAULT_HOME


def _journey(place: Path, pacs: str, plugin: str, say: Any, started: float) -> dict[str, Any]:

    from adapters.compose import open_site
    from adapters.engine.serving import serving
    from adapters.home import locate
    from adapters.published import activate_newest
    from adapters.rt.write_phantom import PhantomStudy, encode_limb
    from validation.phantoms.limb import limb

    home = locate(place).create()
    with _archive(pacs, home.root) as section:
        configuration = _configuration(home, section)
        with open_site(home, configuration=configuration) as site, serving(site) as turn:
            say("verifying and activating the newest published release")
            activate_newest(site, plugin, reason="demonstration on a synthetic patient")
            say("making the synthetic patient")
            phantom, written = limb(), PhantomStudy()
            files = tuple(encode_limb(phantom, written).values())
            study = written.uid(phantom, "study")
            site.archives["pacs"].store(study, files)
            say(f"{len(files)} instances stored in the PACS; waiting for the plugin")

            def run_ids() -> tuple[str, ...]:
                with site.database.reading() as transaction:
                    return tuple(row.run_id for row in transaction.runs(study=study))

            ids = wait_for_runs(site, turn, run_ids, say=say)
            return results_document(site, ids, time.monotonic() - started)


@contextmanager
def _archive(kind: str, root: Path) -> Iterator[dict[str, Any]]:
    if kind == "embedded":
        yield {"name": "pacs", "kind": "folder", "path": str(root / "pacs")}
        return
    from adapters.orthanc.local import start_local_orthanc

    with start_local_orthanc(root / "orthanc") as server:
        yield {
            "name": "pacs",
            "kind": "orthanc",
            "url": server.url,
            "username": server.username,
            "password": server.password,
        }


def _configuration(home: Home, section: dict[str, Any]) -> Configuration:
    """Write the demo's configuration into its home, so that other commands find the site."""
    from adapters.config import load

    lines = ["# made by osteon demo", "[site]", 'name = "demo"', 'mode = "research"', ""]
    lines += ["[trigger]", "quiet_time_s = 0.5", "poll_interval_s = 0.2", "", "[[pacs]]"]
    lines += [f"{key} = {json.dumps(value)}" for key, value in section.items()]
    lines += ["", "[[targets]]", 'name = "pacs"', 'kind = "pacs"', 'pacs = "pacs"', ""]
    lines += ["[[targets]]", 'name = "fhir"', 'kind = "fhir-folder"']
    lines += [f"path = {json.dumps(str(home.exports / 'fhir'))}", ""]
    home.configuration.write_text("\n".join(lines), encoding="utf-8")
    home.configuration.chmod(0o600)
    return load(home.configuration)
