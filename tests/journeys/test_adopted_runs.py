"""A run that another site published counts here by keys that count here, and not otherwise."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli.main import app
from adapters.compose import Site
from adapters.published import add_newest
from adapters.validation.adopting import FILES, adopt
from adapters.validation.baseline import baseline_of
from adapters.validation.kept_runs import read_run
from adapters.validation.reporting import certify_run, write_report
from audit.errors import (
    AuthenticationError,
    NotFoundError,
    RefusalError,
    SignatureError,
    SuiteError,
)
from governance.signing import load_trust, store_trust
from tests.simulators.governed_site import (
    CLINICIAN,
    ENGINEER,
    PHYSICIST,
    add_release,
    governed_site,
    records,
    state_of,
)
from tests.simulators.validation_site import criteria, finished_run
from validation.criteria.document import Criterion
from validation.criteria.reading import read_criteria

FIRST = Path("validation/first/contouring-0.1.1")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that another site published: four files of a run that passed, and its keys."""
    root = tmp_path_factory.mktemp("elsewhere")
    with governed_site(root) as (site, _):
        run = finished_run(site, add_release(site, "1.0.0"))
        kept = read_run(site, run.run_id)
        write_report(site, kept, pdf=False)
        certify_run(site, kept, ENGINEER)
        folder = root / "published"
        folder.mkdir()
        for name in FILES[:3]:
            shutil.copy(kept.folder / name, folder / name)
        shutil.copy(site.home.cohorts / "phantoms" / "cohort.json", folder / "cohort.json")
        store_trust(folder / "trust.json", site.registry.trust())
        return folder


@pytest.fixture
def here(tmp_path: Path) -> Iterator[Site]:
    """A site that knows nothing of the other."""
    with governed_site(tmp_path) as (site, _):
        yield site


def trusting(site: Site, folder: Path) -> Site:
    """Let the keys of a published folder count at a site, as somebody else's."""
    path = site.home.keys / "trust.json"
    own = {key.key_id for key in load_trust(path)}
    others = tuple(key for key in load_trust(folder / "trust.json") if key.key_id not in own)
    store_trust(path, (*load_trust(path), *others))
    return site


@pytest.mark.reg("VAL-1")
def test_an_adopted_certificate_gates_here(here: Site, published: Path) -> None:
    """The release is validated by it, on record; the run is the baseline of the next release."""
    digest = add_release(trusting(here, published), "1.0.0")
    found = adopt(here, published, PHYSICIST)
    assert (found.attached, found.certificate.release_digest) == (True, digest)
    assert state_of(here, digest) == "validated"
    kinds = [r.body["document"] for r in records(here, "governed")]
    for kind in ("validation-run", "validation-report", "validation-certificate"):
        assert kinds.count(kind.replace("-", "_")) + kinds.count(kind) == 1
    count = len(records(here, "governed"))
    assert adopt(here, published, PHYSICIST) == found
    assert len(records(here, "governed")) == count
    later = add_release(here, "1.0.1")
    compared = Criterion("same", "non-inferiority", "as good", metric="dsc", margin=0.05)
    asked = criteria(criteria=(compared,))
    new = finished_run(here, later, run_id="c" * 64, asked=asked)
    baseline, look = baseline_of(here, new, read_criteria(asked))
    assert baseline is not None
    assert (baseline.release_digest, baseline.run_id, look) == (digest, found.run_id, 1)


@pytest.mark.parametrize("name", FILES)
def test_a_flipped_byte_is_not_adopted(
    here: Site, published: Path, tmp_path: Path, name: str
) -> None:
    """Whichever file it is in, the run is refused by name and nothing of it is kept."""
    digest = add_release(trusting(here, published), "1.0.0")
    folder = Path(shutil.copytree(published, tmp_path / "copy"))
    raw = bytearray((folder / name).read_bytes())
    place = raw.index(b"0.") + 2 if b"0." in raw else len(raw) // 2
    raw[place] = ord("1") if raw[place] != ord("1") else ord("2")
    (folder / name).write_bytes(raw)
    with pytest.raises(SuiteError) as caught:
        adopt(here, folder, PHYSICIST)
    assert caught.value.advice
    assert not (here.home.root / "validations").exists()
    assert state_of(here, digest) == "registered"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 1}', b"\xff\xfe", b"null"])
@pytest.mark.parametrize("name", FILES)
def test_malformed_files_are_refused_clearly(
    here: Site, published: Path, tmp_path: Path, name: str, content: bytes
) -> None:
    """Never a traceback: an error of the suite with its advice."""
    trusting(here, published)
    folder = Path(shutil.copytree(published, tmp_path / "copy"))
    (folder / name).write_bytes(content)
    with pytest.raises(SuiteError) as caught:
        adopt(here, folder, PHYSICIST)
    assert caught.value.code
    assert not (here.home.root / "validations").exists()


def test_strangers_missing_files_and_other_roles_are_refused(
    here: Site, published: Path, tmp_path: Path
) -> None:
    """Keys that do not count here, a release that is not here, a file that is gone."""
    add_release(here, "1.0.0")
    with pytest.raises(SignatureError):
        adopt(here, published, PHYSICIST)
    with pytest.raises(RefusalError) as barred:
        adopt(here, published, CLINICIAN)
    assert barred.value.reasons == ("ROLE_NOT_PERMITTED",)
    trusting(here, published)
    folder = Path(shutil.copytree(published, tmp_path / "copy"))
    (folder / "cohort.json").unlink()
    with pytest.raises(NotFoundError, match=r"cohort\.json"):
        adopt(here, folder, PHYSICIST)


def test_a_release_that_is_not_here_is_asked_for(here: Site, published: Path) -> None:
    """Without the release there is nothing to gate."""
    trusting(here, published)
    with pytest.raises(NotFoundError):
        adopt(here, published, PHYSICIST)


@pytest.mark.reg("VAL-1")
def test_the_first_certificate_is_adopted_and_opens_nothing(here: Site) -> None:
    """The shipped run of contouring 0.1.1 says fail: on record here, its release not validated."""
    digest = add_newest(trusting(here, FIRST), "contouring")
    found = adopt(here, FIRST, ENGINEER)
    assert (found.certificate.verdict, found.attached) == ("fail", False)
    assert found.certificate.release_digest == digest
    assert state_of(here, digest) == "registered"


def test_the_command_needs_somebody(published: Path, tmp_path: Path) -> None:
    """Nobody signed in: an error that says so, and no run."""
    home = tmp_path / "home"
    assert CliRunner().invoke(app, ["init", "--home", str(home)]).exit_code == 0
    found = CliRunner().invoke(app, ["validate", "adopt", str(published), "--home", str(home)])
    assert isinstance(found.exception, AuthenticationError)
    assert not (home / "validations").exists()
