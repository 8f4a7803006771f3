"""The command line: what a person types, what comes back, and the exit codes."""

import json
import re
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.release_builder import build_release
from audit.checkpoint import new_signer
from audit.errors import AuthenticationError, ConfigurationError, NotFoundError
from tests.simulators.example_site import prepare, served, small_phantom

RUNNER = CliRunner()
NEW_PASSWORD = "a much longer password"


def osteon(*arguments: object, env: dict[str, str] | None = None) -> Result:
    """Run a command in this process."""
    return RUNNER.invoke(app, [str(item) for item in arguments], env=env)


def document(*arguments: object) -> Any:
    """Run a command with --json and return what it printed."""
    result = osteon(*arguments, "--json")
    assert result.exit_code == 0, (result.output, result.exception)
    return json.loads(result.stdout)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one finished run of the example plugin."""
    folder = tmp_path_factory.mktemp("cli")
    home = prepare(folder)
    study, files = small_phantom()
    with served(home, folder) as (site, turn):
        site.archives["pacs"].store(study, files)
        status, ends = "", time.monotonic() + 120
        while time.monotonic() < ends:
            turn()
            time.sleep(0.01)
            with site.database.reading() as transaction:
                status = next((row.status for row in transaction.runs()), "")
            if status == "done":
                break
        assert status == "done"
    (folder / "files").mkdir()
    for number, data in enumerate(files):
        (folder / "files" / f"{number}.dcm").write_bytes(data)
    (folder / "files" / "notes.txt").write_text("this is not DICOM")
    return folder


def test_help_names_every_command() -> None:
    """The help lists every group of commands."""
    text = osteon("--help").output
    for word in (
        "init", "demo", "run", "serve", "doctor", "replay", "bench", "login", "runs", "route",
        "config", "release", "governance", "audit", "account",
    ):  # fmt: skip
        assert word in text


def test_init_gives_the_first_administrator_once(tmp_path: Path) -> None:
    """A new site has one administrator with a one-time password, and no default password."""
    first = osteon("init", "--home", tmp_path / "home", "--name", "ward-7")
    assert first.exit_code == 0
    once = re.search(r"one-time password: (\S+)", first.output)
    assert once is not None
    assert "one-time password" not in osteon("init", "--home", tmp_path / "home").output
    env = {"OSTEON_PASSWORD": once.group(1), "OSTEON_NEW_PASSWORD": NEW_PASSWORD}
    assert osteon("login", "admin", "--home", tmp_path / "home", env=env).exit_code == 0
    added = osteon("account", "add", "mri", "--role", "approver", "--home", tmp_path / "home")
    assert "one-time password" in added.output
    accounts = document("account", "list", "--home", tmp_path / "home")
    assert [row["account"] for row in accounts] == ["admin", "mri"]
    osteon("logout", "--home", tmp_path / "home")
    refused = osteon("account", "add", "x", "--role", "clinician", "--home", tmp_path / "home")
    assert isinstance(refused.exception, AuthenticationError)


def commands(group: Any, name: str = "") -> Iterator[tuple[str, set[str]]]:
    """Yield every command with the names of its options."""
    for key, command in getattr(group, "commands", {}).items():
        yield from commands(command, f"{name} {key}".strip())
    if not hasattr(group, "commands"):
        yield name, {option for item in group.params for option in item.opts}


def test_every_command_on_a_site_takes_a_configuration() -> None:
    """What has --home has --config too, so that no command acts on another database."""
    without = [
        name
        for name, options in commands(typer.main.get_command(app))
        if "--home" in options and "--config" not in options
    ]
    on_files = {"demo", "run", "bench", "validate verify", "validate pool"}
    assert set(without) <= on_files  # make their own site, or work on files and keys


def test_a_configuration_outside_the_home_names_the_database(tmp_path: Path) -> None:
    """Every step from init to waiver acts on the database of the named file, and no other."""
    home, config = ("--home", tmp_path / "home"), tmp_path / "site.toml"
    config.write_text(
        f"[site]\nname = 'ward-7'\n[database]\nurl = 'sqlite:///{tmp_path / 'elsewhere.db'}'\n"
    )
    named = (*home, "--config", config)
    once = re.search(r"one-time password: (\S+)", osteon("init", *named).output)
    assert once is not None
    env = {"OSTEON_PASSWORD": once.group(1), "OSTEON_NEW_PASSWORD": NEW_PASSWORD}
    assert osteon("login", "admin", *named, env=env).exit_code == 0
    added = osteon("account", "add", "mri", "--role", "approver", *named)
    env["OSTEON_PASSWORD"] = re.search(r"password: (\S+)", added.output).group(1)  # type: ignore[union-attr]
    assert osteon("login", "mri", *named, env=env).exit_code == 0
    bundle = build_release("example", tmp_path)
    assert osteon("release", "sign", bundle, *named).exit_code == 0
    assert osteon("release", "verify", bundle, *named).exit_code == 0
    assert osteon("release", "add", bundle, *named).exit_code == 0
    waived = osteon("governance", "waive", "example", "--reason", "first test", *named)
    assert "is active until" in waived.output
    assert document("release", "list", *named)[0]["state"] == "active"
    assert document("audit", "verify", *named)["verified"]
    assert not (tmp_path / "home" / "site.db").exists()
    by_variable = {"OSTEON_CONFIG": str(config)}
    listed = osteon("release", "list", *home, "--json", env=by_variable)
    assert json.loads(listed.stdout)[0]["plugin"] == "example"
    history = osteon("governance", "history", "example", *home, env=by_variable)
    assert "first test" in history.output
    assert not (tmp_path / "home" / "site.db").exists()
    absent = osteon("release", "list", *home, env={"OSTEON_CONFIG": str(tmp_path / "no.toml")})
    assert isinstance(absent.exception, ConfigurationError)


PLUGIN = """
from plugins.host.manifest import Input, Manifest, Output

class Elbow:
    manifest = Manifest(
        "elbow", "1.2.0", "Elbow", "Test", "analytic", inputs=(Input("ct", "CT"),),
        outputs=(Output("Measurement", "v", "1", "SCT", "v"),),
    )
    def load(self, artifact): ...
    def predict(self, case, parameters): ...
"""


@pytest.fixture
def elbow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plugin of another distribution on the import path; its package folder."""
    package, information = tmp_path / "site" / "elbow", tmp_path / "site" / "elbow-1.dist-info"
    package.mkdir(parents=True)
    information.mkdir()
    (package / "__init__.py").write_text("")
    (package / "card.md").write_text("# Elbow\n")
    (package / "plugin.py").write_text(PLUGIN)
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: elbow\nVersion: 1\n")
    (information / "entry_points.txt").write_text("[osteon.plugins]\nelbow = elbow.plugin:Elbow\n")
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return package


def test_release_add_by_name_takes_the_published_one(elbow: Path, tmp_path: Path) -> None:
    """A plugin's name adds its newest published version, also where a local build lies here."""
    home = ("--home", tmp_path / "home")
    nothing = osteon("release", "add", "elbow", *home)
    assert isinstance(nothing.exception, NotFoundError)
    assert "--publish" in nothing.exception.advice
    assert osteon("release", "build", "elbow", "-o", tmp_path, "--publish").exit_code == 0
    (elbow / "card.md").write_text("# Elbow, edited since\n")
    local = build_release("elbow", tmp_path / "local")
    osteon("release", "sign", local, *home)
    edited = osteon("release", "add", local, *home).output.split(": ")[1].split()[0]
    published = osteon("release", "add", "elbow", *home).output
    assert published.startswith("elbow 1.2.0: sha256:")
    assert edited not in published
    assert osteon("release", "add", "elbow", *home).output == published
    assert len(document("release", "list", *home)) == 2
    two = osteon("release", "show", "elbow", *home)
    assert isinstance(two.exception, NotFoundError)
    assert edited[:19] in two.exception.advice
    shown = json.loads(osteon("release", "show", edited[:19], *home).stdout)
    assert shown["digest"] == edited


def test_release_add_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is said to be a missing file, not a missing plugin."""
    for name in (tmp_path / "gone.osteon", "gone.osteon", "folder/gone"):
        result = osteon("release", "add", name, "--home", tmp_path / "home")
        assert isinstance(result.exception, NotFoundError)
        assert "release file" in str(result.exception)


def test_only_an_approver_can_waive(root: Path) -> None:
    """Changing governed state needs a login in a role that the table permits."""
    home = root / "home"
    result = osteon("governance", "waive", "example", "--reason", "x", "--home", home)
    assert isinstance(result.exception, AuthenticationError)


def test_config_check_and_show(tmp_path: Path) -> None:
    """A good file is said to be good; secrets are hidden; a wrong key is named."""
    path = tmp_path / "osteon.toml"
    path.write_text("[[pacs]]\nname='a'\nkind='orthanc'\nurl='http://x'\npassword='hush'\n")
    assert "1 archives" in osteon("config", "check", "--config", path).output
    protocol = Path(__file__).parents[2] / "docs/examples/protocols/head-neck-70-63-56.toml"
    path.write_text(f"{path.read_text()}[prescriptions]\nprotocols=['{protocol}']\n")
    assert "1 protocols" in osteon("config", "check", "--config", path).output
    path.write_text(path.read_text().replace("head-neck", "nowhere"))
    absent = osteon("config", "check", "--config", path)
    assert "nowhere-70-63-56.toml" in str(absent.exception)
    shown = osteon("config", "show", "--config", path).output
    assert "hush" not in shown
    assert '"url": "http://x"' in shown
    path.write_text("[sitee]\n")
    wrong = osteon("config", "check", "--config", path)
    assert isinstance(wrong.exception, ConfigurationError)
    assert "did you mean 'site'" in str(wrong.exception)


def test_runs_list_and_show(root: Path) -> None:
    """A run is listed, and shown with its findings, documents and audit records."""
    home = root / "home"
    (row,) = document("runs", "list", "--home", home)
    assert row["status"] == "done"
    shown = document("runs", "show", row["run_id"][:10], "--home", home)
    assert shown["runs"][0]["findings"][0]["name"] == "Bone"
    assert all(output["verified"] for output in shown["runs"][0]["outputs"])
    kinds = [record["kind"] for record in shown["records"]]
    assert kinds == ["run_opened", "input_read", "inference", "delivery", "run_closed"]
    assert "verified" in osteon("runs", "show", row["run_id"], "--home", home).output


def test_acts_that_a_state_does_not_permit(root: Path) -> None:
    """A finished run cannot be retried or discarded; an unknown one is not found."""
    home = root / "home"
    (row,) = document("runs", "list", "--home", home)
    for action in ("retry", "discard"):
        result = osteon("runs", action, row["run_id"], "--home", home)
        assert isinstance(result.exception, ConfigurationError)
    assert isinstance(osteon("runs", "show", "beef", "--home", home).exception, NotFoundError)


def test_a_study_is_named_by_its_uid_where_a_run_is(root: Path) -> None:
    """A seed point needs the one run of a study; an unknown study is not found, never a crash."""
    home = ("--home", root / "home")
    unknown = osteon("runs", "force", "1.2.3", "--seed-point", "1,2,3", *home)
    assert isinstance(unknown.exception, NotFoundError)
    assert isinstance(osteon("runs", "retry", "1.2.3", *home).exception, NotFoundError)
    bad = osteon("runs", "force", small_phantom()[0], "--seed-point", "1,2", *home)
    assert isinstance(bad.exception, ConfigurationError)
    assert "seed point" in str(bad.exception)


def test_route_test_names_the_tag_that_failed(root: Path) -> None:
    """The dry run says which release would run on a folder, and why not on a single file."""
    home = root / "home"
    (line,) = document("route", "test", root / "files", "--home", home)
    assert line["applies"]
    assert line["plugin"] == "example"
    words = osteon("route", "test", root / "files", "--home", home).output
    assert "would run" in words


def test_release_and_governance_tell_what_is_active(root: Path) -> None:
    """Releases are listed with their state; the history says who decided, and why."""
    home = root / "home"
    (release,) = document("release", "list", "--home", home)
    assert release["state"] == "active"
    shown = json.loads(osteon("release", "show", "example", "--home", home).stdout)
    assert shown["manifest"]["plugin"] == "example"
    history = document("governance", "history", "example", "--home", home)
    assert [row["state"] for row in history] == ["registered", "active"]
    assert history[-1]["evidence"]["waiver_reason"] == "test"


def test_audit_verify(root: Path) -> None:
    """The log verifies, and an altered one is named as such with exit code 1."""
    summary = document("audit", "verify", "--home", root / "home")
    assert summary["verified"]
    assert summary["size"] >= 8
    assert len(summary["root_hash"]) == 64


def test_doctor_examines_every_part(root: Path) -> None:
    """The self-test names each connection and part; faults come with advice."""
    config = root / "doctor.toml"
    config.write_text(
        f"""
[site]
name = "test-site"
[[pacs]]
name = "embedded"
kind = "folder"
path = "{root / "pacs"}"
[[pacs]]
name = "away"
kind = "orthanc"
url = "http://127.0.0.1:9"
[[targets]]
name = "files"
kind = "fhir-folder"
path = "{root / "fhir"}"
"""
    )
    result = osteon("doctor", "--home", root / "home", "--config", config, "--json")
    assert result.exit_code == 1
    checks = {row["name"]: row for row in json.loads(result.stdout)}
    assert checks["database"]["ok"]
    assert checks["audit log"]["ok"]
    assert checks["pacs embedded"]["ok"]
    assert checks["target files"]["ok"]
    assert checks["releases"]["ok"]
    assert checks["engine database"]["ok"]
    assert checks["engine database"]["detail"] == "sqlite answers"
    assert checks["sandbox"]["ok"]
    for word in ("worker of example started", "network: ", "files: ", "processes: "):
        assert word in checks["sandbox"]["detail"]
    assert not checks["pacs away"]["ok"]
    assert checks["pacs away"]["advice"]


def test_doctor_on_an_empty_site(tmp_path: Path) -> None:
    """Before anything is active the self-test says so, and names an engine that is away."""
    osteon("init", "--home", tmp_path / "home")
    result = osteon("doctor", "--home", tmp_path / "home", "--json")
    checks = {row["name"]: row for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert not checks["releases"]["ok"]
    assert checks["sandbox"]["detail"] == "not examined: no release is active"
    assert checks["engine database"]["detail"] == "sqlite, made when the site is first served"
    away = {"OSTEON__DATABASE__ENGINE_URL": "postgresql+psycopg://nobody@127.0.0.1:9/osteon"}
    result = osteon("doctor", "--home", tmp_path / "home", "--json", env=away)
    checks = {row["name"]: row for row in json.loads(result.stdout)}
    assert not checks["engine database"]["ok"]
    assert checks["engine database"]["detail"].startswith("DOOR_UNAVAILABLE")


def test_run_on_a_folder_of_anything(root: Path, tmp_path: Path) -> None:
    """Mixed files in, results out; a text file is skipped by name; twice is once."""
    arguments = (
        "run", "--plugin", "example", "--input", root / "files", "--output", tmp_path / "out",
        "--home", tmp_path / "home", "--release", next(root.glob("*.osteon")),
    )  # fmt: skip
    osteon("init", "--home", tmp_path / "home")
    osteon("release", "sign", next(root.glob("*.osteon")), "--home", tmp_path / "home")
    first = document(*arguments)
    assert first["runs"][0]["status"] == "done"
    assert all(output["verified"] for output in first["runs"][0]["outputs"])
    assert any("notes.txt" in line for line in first["skipped_files"])
    names = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert names
    again = document(*arguments)
    assert again["runs"][0]["run_id"] == first["runs"][0]["run_id"]
    assert names == sorted(p.name for p in (tmp_path / "out").rglob("*") if p.is_file())


def test_a_folder_without_a_study_is_told(root: Path, tmp_path: Path) -> None:
    """Nothing to run on is refused with the reason, and what was skipped is counted."""
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "notes.txt").write_text("this is not DICOM")
    arguments = (
        "run", "--plugin", "example", "--input", folder, "--output", tmp_path / "out",
        "--home", tmp_path / "home", "--release", next(root.glob("*.osteon")),
    )  # fmt: skip
    osteon("init", "--home", tmp_path / "home")
    osteon("release", "sign", next(root.glob("*.osteon")), "--home", tmp_path / "home")
    told = osteon(*arguments)
    assert told.exit_code == 3, (told.output, told.exception)
    assert "not run: no DICOM study in the folder" in told.stdout
    assert "skipped: 1 files (INPUT_NOT_DICOM)" in told.stdout
    assert json.loads(osteon(*arguments, "--json").stdout)["not_run"]


def test_bad_seed_point_is_refused(tmp_path: Path) -> None:
    """A seed point that is no point gets a clear error."""
    result = osteon(
        "run", "--plugin", "example", "--input", tmp_path, "--output", tmp_path,
        "--seed-point", "1,2",
    )  # fmt: skip
    assert isinstance(result.exception, ConfigurationError)


@pytest.mark.reg("AIA-21")
def test_the_log_is_checked_away_from_its_site(root: Path, tmp_path: Path) -> None:
    """An exported log is verified from the file and the key alone, and an anchor counts."""
    bundle = tmp_path / "log.zip"
    exported = document("audit", "export", bundle, "--home", root / "home")
    found = document("audit", "verify", "--bundle", bundle, "--key", exported["key"])
    assert found["size"] == exported["records"]
    assert (found["verified"], found["key_given"]) == (True, True)
    own = osteon("audit", "verify", "--bundle", bundle)
    assert "compare it with the one you were given" in own.stdout
    with zipfile.ZipFile(bundle) as archive:
        notes = [name for name in archive.namelist() if name.startswith("checkpoints/")]
        (tmp_path / "kept.txt").write_bytes(archive.read(notes[-1]))
    anchored = document(
        "audit", "verify", "--home", root / "home", "--anchor", tmp_path / "kept.txt"
    )
    assert anchored["anchors"] == 1
    wrong = osteon("audit", "verify", "--bundle", bundle, "--key", new_signer("x").verifier.text())
    assert wrong.exit_code != 0
    absent = osteon("audit", "verify", "--bundle", bundle, "--anchor", tmp_path / "none.txt")
    assert isinstance(absent.exception, NotFoundError)
