"""`osteon serve`: watch the archives, run, write back, show pages; and `osteon bench`."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer

from adapters.cli.terminal import ConfigOption, HomeOption, set_up_logging


def serve(
    config: ConfigOption = None,
    home: HomeOption = None,
    json_log: Annotated[
        bool, typer.Option("--json-log", help="Program log as JSON lines.")
    ] = False,
    pages: Annotated[bool, typer.Option(help="Serve health, metrics and pages.")] = True,
) -> None:
    """Watch the configured archives and run released plugins until stopped."""
    set_up_logging(verbose=True, json_lines=json_log)
    from adapters.compose import open_site
    from adapters.engine.serving import serving_in_background
    from adapters.hand import act
    from adapters.home import locate

    with open_site(locate(home), config) as site, serving_in_background(site):
        section = site.configuration.web
        if not pages:
            _wait()
            return
        from adapters.web.app import build_app
        from adapters.web.server import server_of

        scheme = "https" if section.tls_certificate else "http"
        typer.echo(f"serving on {scheme}://{section.host}:{section.port}/", err=True)
        server_of(build_app(site, partial(act, site)), section).run()


def _wait() -> None:
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
