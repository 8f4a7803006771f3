"""`osteon release`: build, publish, verify, add, list, show, compare and import releases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from adapters.cli.release_diff import diff
from adapters.cli.release_import import import_release
from adapters.cli.terminal import (
    ConfigOption,
    HomeOption,
    JsonOption,
    echo_json,
    echo_table,
    set_up_logging,
)
from audit.errors import NotFoundError

app = typer.Typer(no_args_is_help=True)
app.command("diff")(diff)
app.command("import")(import_release)
PluginArgument = Annotated[str, typer.Argument(help="Plugin name, e.g. contouring.")]


@app.command("build")
def build(
    plugin: PluginArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the bundle.")] = Path(),
    publish: Annotated[
        bool, typer.Option("--publish", help="Also freeze the version in the repository.")
    ] = False,
) -> None:
    """Build a release from a plugin's working tree."""
    set_up_logging()
    from adapters import release_builder

    path = release_builder.build_release(plugin, output)
    if publish:
        release_builder.publish(path)
    typer.echo(path)


@app.command("sign")
def sign(
    bundle: Annotated[Path, typer.Argument(help="A .osteon file.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Sign a release with this site's release key."""
    from adapters.compose import utc_now
    from adapters.home import locate
    from adapters.keys import load_keys
    from adapters.published import sign_bundle

    del config  # taken like everywhere, but the key lies in the home
    now = utc_now()
    typer.echo(sign_bundle(load_keys(locate(home).create(), now), bundle, now))


@app.command("verify")
def verify(
    bundle: Annotated[Path, typer.Argument(help="A .osteon file.")],
    home: HomeOption = None,
    config: ConfigOption = None,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="Members only.")] = False,
) -> None:
    """Check every member of a release against its manifest, and the signature."""
    from adapters.compose import open_site
    from adapters.home import locate
    from governance.release import open_release

    release = open_release(bundle)
    release.verify()
    words = "unsigned"
    if not unsigned:
        with open_site(locate(home), config) as site:
            words = f"signed by {site.registry.verify_signature(release)}"
    typer.echo(f"{release.digest}: {len(release.members)} members good, {words}")


@app.command("add")
def add(
    name: Annotated[
        str,
        typer.Argument(
            help="A .osteon file; a plugin: its newest published version; or plugin-version."
        ),
    ],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Verify a release and register it at this site."""
    from adapters.change.origins import site_findings
    from adapters.cli.account import person_here
    from adapters.compose import open_site
    from adapters.home import locate
    from adapters.published import add_newest

    bundle = Path(name)
    is_file = bundle.is_file()
    if not is_file and (bundle.suffix == ".osteon" or len(bundle.parts) > 1):
        raise NotFoundError(f"expected a release file {name}, found none")
    with open_site(locate(home), config) as site:
        person = person_here(site)
        digest = add_newest(site, name, bundle if is_file else None, person=person)
        row = site.registry.row(digest)
        changed = site_findings(site, digest)
    typer.echo(f"{row.plugin} {row.version}: {digest}")
    if changed:
        typer.echo(f"not its publisher's ({', '.join(changed)}): see `osteon change origin`")


@app.command("list")
def list_releases(
    home: HomeOption = None, config: ConfigOption = None, as_json: JsonOption = False
) -> None:
    """List the releases that lie at this site, with their state."""
    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site, site.database.reading() as transaction:
        states = {d.release_digest: d.state for d in transaction.deployments()}
        rows = [
            {
                "plugin": row.plugin, "version": row.version, "digest": row.digest,
                "state": states.get(row.digest, "unknown"),
            }
            for row in transaction.releases()
        ]  # fmt: skip
    if as_json:
        echo_json(rows)
        return
    echo_table(
        "Releases",
        ("plugin", "version", "state", "digest"),
        [(r["plugin"], r["version"], r["state"], r["digest"]) for r in rows],
    )


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="Digest, plugin, or plugin-version.")],
    home: HomeOption = None,
    config: ConfigOption = None,
) -> None:
    """Show the manifest of a release that lies at this site."""
    import json

    from adapters.compose import open_site
    from adapters.home import locate

    with open_site(locate(home), config) as site:
        row = site.registry.find(name)
    echo_json({"digest": row.digest, "manifest": json.loads(row.manifest)})
