"""The technical file at a site: what persons record, what is written, what the gate then says."""

import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from adapters.compose import Site, open_site
from adapters.home import Home
from adapters.published import add_newest, sign_bundle
from adapters.release_builder import build_release
from adapters.release_members import RISK_REGISTER, package_folder
from adapters.technical_file import acts, demonstration
from adapters.technical_file.build import (
    look,
    look_at_nothing,
    marking_of,
    source_room,
    write,
)
from audit.errors import ConfigurationError, NotFoundError, RefusalError
from audit.record import decode
from governance import accuracy, declaration, risk_trace
from governance.declaration import Signer
from governance.gates import Passage
from governance.release import digest_of
from governance.risk import WITH_REASON, read_register
from governance.sealed import open_sealed
from governance.signing import verify_signature
from governance.technical_file.bundle import BUNDLE, KIND, SIGNATURE
from governance.technical_file.fields import BY_PATH, FIELDS
from tests.simulators.example_site import configuration

SIGNER = Signer("Exampletown", "A. Person", "PRRC", "Example")


@dataclass(frozen=True)
class Somebody:
    """A person in a role."""

    account_id: str = "anna"
    role: str = "approver"


ANNA, BERT, CARL = Somebody(), Somebody("bert", "engineer"), Somebody("carl", "compliance")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A site with the example release, which has no weights and no register."""
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=configuration(tmp_path)) as site:
        add_newest(site, "example")
        yield site


@pytest.fixture(scope="module")
def demonstrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, str, Path]]:
    """A demonstration site: the contouring release, filled in, its file written."""
    root = tmp_path_factory.mktemp("demonstrated")
    home = Home(root / "home").create()
    with open_site(home, configuration=configuration(root)) as site:
        digest = _add_contouring(site, root)
        demonstration.fill_demonstration(site, digest, ANNA)
        write(site, look(site, digest), root / "out", ANNA, pdf=False)
        yield site, digest, root / "out"


@pytest.fixture
def contouring(tmp_path: Path) -> Iterator[tuple[Site, str]]:
    """A demonstration site of its own, for tests that record more."""
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=configuration(tmp_path)) as site:
        digest = _add_contouring(site, tmp_path)
        demonstration.fill_demonstration(site, digest, ANNA)
        yield site, digest


def _add_contouring(site: Site, folder: Path) -> str:
    """Add contouring as it is in the working tree: its weights are those of the results."""
    bundle = sign_bundle(site.keys, build_release("contouring", folder), site.now())
    return str(site.registry.add(bundle).digest)


def _digest(site: Site) -> str:
    return str(site.registry.find("example").digest)


def _records(site: Site, kind: str) -> list[dict[str, Any]]:
    site.seal()
    with site.database.reading() as transaction:
        leaves = tuple(transaction.leaves(0, transaction.tree_size()))
    return [dict(decode(leaf.leaf).body) for leaf in leaves if leaf.kind == kind]


@pytest.mark.reg("AIA-11.1")
def test_an_empty_site_is_all_missing(tmp_path: Path) -> None:
    """A site without any release writes a file in which every field prints MISSING."""
    home = Home(tmp_path / "home").create()
    with open_site(home, configuration=configuration(tmp_path)) as site:
        built = write(site, look_at_nothing(site), tmp_path / "out", None, pdf=False)
    stated = json.loads((tmp_path / "out/annex_iv.json").read_text("utf-8"))
    assert stated["counts"] == {"complete": 0, "missing": len(FIELDS), "n/a": 0}
    assert SIGNATURE not in built.names
    page = (tmp_path / "out/technical-file.html").read_text("utf-8")
    assert page.count("MISSING: ") >= len(FIELDS)


@pytest.mark.reg("AIA-11.1")
def test_a_demonstration_lacks_only_what_persons_answer_for(
    demonstrated: tuple[Site, str, Path],
) -> None:
    """Every gap is a statement, an act, or evidence that somebody has yet to make."""
    site, digest, _ = demonstrated
    file = look(site, digest).file
    gaps = set(file.missing())
    human = {rule.path for rule in FIELDS if rule.gen != "A"}
    assert gaps == human | set(demonstration.ACTS)
    assert file.field("p3.accuracy_by_group").status == "complete"
    assert file.field("p5.rms").status == "complete"
    assert file.counts()["complete"] >= 25


@pytest.mark.reg("AIA-13.3b")
@pytest.mark.reg("AIDRT-1")
def test_every_document_states_the_numbers_of_the_source_report(
    demonstrated: tuple[Site, str, Path],
) -> None:
    """Instructions, cards and technical file hold each figure of the report, and its digest."""
    from models.training.contouring.accuracy import REPORT

    _, _, out = demonstrated
    raw = REPORT.read_bytes()
    report = json.loads(raw)
    row = report["summary"]["ct+pet"]["all"]["dsc"]
    wanted = (row["mean"], row["interval_95"][0], row["interval_95"][1])
    annex = json.loads((out / "annex_iv.json").read_text("utf-8"))["fields"]
    (in_file,) = [
        (r["value"], r["low"], r["high"])
        for r in annex["p3.accuracy_overall"]["value"]
        if (r["given"], r["metric"]) == ("ct+pet", "dsc")
    ]
    card = json.loads((out / "card/aid-rt.json").read_text("utf-8"))
    (in_card,) = [
        (r["value"], r["low"], r["high"])
        for r in card["evaluation_data_methodology_results_commisioning"]["mean_data_gm_seg"]
        if (r["given"], r["metric"]) == ("ct+pet", "dsc")
    ]
    assert in_file == in_card == wanted
    estimate = f'"estimate": {wanted[0]}, "lower": {wanted[1]}, "upper": {wanted[2]}'
    assert estimate in (out / "card/chai.xml").read_text("utf-8")
    ifu = (out / "ifu/ifu-en.json").read_text("utf-8")
    assert f'"value": {wanted[0]}' in ifu
    assert f'"low": {wanted[1]}' in ifu
    printed = f"{wanted[0]:.3f}"
    for name in ("ifu/ifu-en.html", "technical-file.html", "card/model-card-en.html"):
        assert f"<span>{printed}</span>" in (out / name).read_text("utf-8"), name
    german = printed.replace(".", ",")
    assert f"<span>{german}</span>" in (out / "ifu/ifu-de.html").read_text("utf-8")
    assert annex["p2.g.test_data"]["value"]["report_sha256"] == digest_of(raw)
    assert card["report_sha256"] == digest_of(raw)


@pytest.mark.reg("AIA-13.3b")
def test_a_missed_criterion_is_told(demonstrated: tuple[Site, str, Path]) -> None:
    """Instructions and file say of each criterion whether the measured figure meets it."""
    from governance.accuracy import held_against, read_accuracy
    from models.training.contouring.accuracy import measured_accuracy

    site, digest, out = demonstrated
    criteria = look(site, digest).sources.content("criteria.json")
    measured = read_accuracy(measured_accuracy(digest, 8))
    judged = [held_against(measured, row) for row in criteria["criteria"]]
    missed = sum(item is not None and not item[1] for item in judged)
    rows = look(site, digest).file.field("p2.g.metrics").value
    assert sum(row["verdict"] == "MISSED" for row in rows) == missed
    page = (out / "ifu/ifu-en.html").read_text("utf-8")
    assert page.count(">MISSED<") == missed
    assert page.count(">met<") == sum(item is not None and item[1] for item in judged) > 0


@pytest.mark.reg("AIA-8.2")
def test_the_bundle_is_signed_sealed_and_repeatable(
    demonstrated: tuple[Site, str, Path], tmp_path: Path
) -> None:
    """Built again it is the same bytes; signature and record name its digest; records once."""
    site, digest, out = demonstrated
    bundle = (out / BUNDLE).read_bytes()
    trust = source_room(site).trust()
    verify_signature((out / SIGNATURE).read_bytes(), digest_of(bundle), trust, "report")
    again = write(site, look(site, digest), tmp_path, BERT, pdf=False)
    assert again.bundle_sha256 == digest_of(bundle)
    with site.database.reading() as transaction:
        history = transaction.governed_history(KIND, digest)
    assert len(history) == 1
    record = open_sealed(history[0].content, trust)
    assert record["bundle_sha256"] == digest_of(bundle)
    assert record["author"] == "anna"
    with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
        names = archive.namelist()
        content = [archive.read(name) for name in names]
    assert len(content) == len(set(content))
    assert {"annex_iv.json", "index_aia.json", "index_mdr.json", "ifu/ifu-de.html"} <= set(names)
    assert look(site, digest).stale == ()


def test_what_is_written_holds_no_secret_and_no_address(
    demonstrated: tuple[Site, str, Path],
) -> None:
    """Interfaces are named; no path, host, password or token of the configuration is."""
    _, _, out = demonstrated
    annex = json.loads((out / "annex_iv.json").read_text("utf-8"))["fields"]
    rows = annex["p1.b.interactions"]["value"]
    assert {tuple(sorted(row)) for row in rows} == {("direction", "kind", "name", "objects")}
    text = b"".join(p.read_bytes() for p in out.rglob("*") if p.is_file())
    assert str(out.parent).encode() not in text


def test_the_trace_matrix_has_every_test_of_the_register(
    demonstrated: tuple[Site, str, Path],
) -> None:
    """Hazard, control, code and test stand in a line of a table that a spreadsheet opens."""
    _, _, out = demonstrated
    rows = (out / "risk/trace_matrix.csv").read_text("utf-8").splitlines()
    register = json.loads((package_folder("plugins.contouring") / RISK_REGISTER).read_text())
    tests = {t for h in register["hazards"] for c in h["controls"] for t in c.get("tests", ())}
    assert all(any(test in row for row in rows) for test in tests)


def test_a_statement_is_recorded_signed_and_outdates_the_file(site: Site, tmp_path: Path) -> None:
    """State, build, state again: the file names its author, and is stale after the second."""
    digest = _digest(site)
    acts.state_field(site, digest, "p2.b.assumptions", "The CT is calibrated.", BERT)
    write(site, look(site, digest), tmp_path / "out", BERT, pdf=False)
    item = look(site, digest).file.field("p2.b.assumptions")
    assert (item.status, item.author) == ("complete", "bert")
    assert look(site, digest).stale == ()
    acts.state_field(site, digest, "p2.b.assumptions", "The CT is calibrated daily.", BERT)
    assert look(site, digest).stale == ("statement/p2.b.assumptions",)
    documents = [body["document"] for body in _records(site, "governed")]
    assert documents == ["statement", KIND, "statement"]


@pytest.mark.parametrize(
    ("person", "act"),
    [
        (CARL, lambda s, d: acts.state_field(s, d, "p2.b.assumptions", "x", CARL)),
        (CARL, lambda s, d: acts.record(s, "placing", d, {}, CARL)),
        (CARL, lambda s, d: acts.verify(s, d, b"", CARL)),
        (BERT, lambda s, d: acts.classify(s, d, {}, BERT)),
        (BERT, lambda s, d: acts.declare(s, d, SIGNER, BERT)),
        (BERT, lambda s, d: acts.revoke(s, d, "x", BERT)),
        (BERT, lambda s, d: acts.accept_risk(s, d, "H01", "x", BERT)),
    ],
)
def test_roles_are_held_and_nothing_is_kept(site: Site, person: Somebody, act: Any) -> None:
    """Who only reads records nothing, and only approvers sign, declare and revoke."""
    with pytest.raises(RefusalError) as refused:
        act(site, _digest(site))
    assert refused.value.reasons == ("ROLE_NOT_PERMITTED",)
    assert _records(site, "governed") == []


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("provider", {"name": "x"}),
        ("risk_register", {}),
        ("placing", {"schema": "x", "first_placed": "then"}),
        ("monitoring_plan", {}),
        ("overseers", {"overseers": []}),
        ("nowhere", {}),
        ("accuracy", {"schema": "x"}),
    ],
)
def test_malformed_documents_are_refused_before_they_are_kept(
    site: Site, kind: str, content: dict[str, Any]
) -> None:
    """What cannot be read whole is not recorded."""
    with pytest.raises(ConfigurationError):
        acts.record(site, kind, _digest(site), content, BERT)
    assert _records(site, "governed") == []


def test_accuracy_of_another_release_is_refused_at_the_door(site: Site) -> None:
    """Figures name the release that they belong to."""
    from tests.simulators.papers import measured, small_release

    with pytest.raises(ConfigurationError):
        acts.record(site, accuracy.KIND, _digest(site), measured(small_release()), BERT)


@pytest.mark.reg("AIA-9.5")
def test_risks_are_verified_accepted_and_then_pass(contouring: tuple[Site, str]) -> None:
    """Recorded tests and acceptances take each objection away; a change of code is noticed."""
    site, digest = contouring
    room = source_room(site)
    with site.database.reading() as transaction:
        sources = room.sources(digest, transaction)
        register = transaction.governed("risk_register", "contouring")
    assert register is not None
    hazards = register.content["hazards"]
    nodes = {t for h in hazards for c in h["controls"] for t in c.get("tests", ())}
    junit = _junit(nodes)
    from governance.technical_file.gates import risk_objections

    assert {o.code for o in risk_objections(sources)} >= {
        "RISK_EVIDENCE_MISSING", "RISK_NOT_ACCEPTED",
    }  # fmt: skip
    acts.verify(site, digest, junit, BERT)
    for hazard in read_register(register.content).hazards:
        if hazard.risk_after == WITH_REASON:
            acts.accept_risk(site, digest, hazard.hazard_id, "benefit outweighs it", ANNA)
        else:
            with pytest.raises(RefusalError):
                acts.accept_risk(site, digest, hazard.hazard_id, "not needed", ANNA)
    with site.database.reading() as transaction:
        codes = {o.code for o in risk_objections(room.sources(digest, transaction))}
    assert codes == set()
    with pytest.raises(NotFoundError):
        acts.accept_risk(site, digest, "H99", "x", ANNA)


def _junit(nodes: set[str]) -> bytes:
    rows = []
    for node in sorted(nodes):
        path, _, name = node.partition("::")
        module = path.removesuffix(".py").replace("/", ".")
        rows.append(f'<testcase classname="{module}" name="{name}"/>')
    return f"<testsuites><testsuite>{''.join(rows)}</testsuite></testsuites>".encode()


def test_code_that_is_not_the_releases_is_named(site: Site) -> None:
    """Tests that ran on other code than the release's are no evidence of the release."""
    from dataclasses import replace as changed

    from governance.release import Release, folder_name, open_unpacked

    release = open_unpacked(site.home.releases / folder_name(_digest(site)))
    (name,) = [n for n in release.members if n.endswith("example/plugin.py")]
    content = {**{n: release.member(n) for n in release.members}, name: b"# other\n"}
    manifest = dict(release.manifest)
    manifest["members"] = {n: digest_of(raw) for n, raw in content.items()}
    other: Release = changed(release, manifest=manifest, source=content.__getitem__)
    assert acts.other_code(other) == (name,)
    assert name not in acts.other_code(release)


@pytest.mark.reg("AIA-47")
@pytest.mark.reg("AIA-16")
def test_classify_declare_and_revoke(contouring: tuple[Site, str]) -> None:
    """A declaration needs every item; signed it fills point 8, revoked it empties it again."""
    site, digest = contouring
    content = {
        "schema": "osteon.classification/1", "plugin": "contouring", "route": "high_risk",
        "autonomy": "proposes", "influence": "decision", "decision_harm": "serious",
        "mdr_class": "IIb", "mdr_rule": "11", "iec_62304_class": "C", "safety_component": True,
        "rationale": "A missed part is underdosed.", "hazards": ["H02"],
        "valid_until": "2099-01-01",
    }  # fmt: skip
    with pytest.raises(ConfigurationError):
        acts.classify(site, digest, content | {"plugin": "example"}, ANNA)
    with pytest.raises(RefusalError):
        acts.classify(site, digest, content | {"route": "out_of_scope"}, ANNA)
    acts.classify(site, digest, content, ANNA)
    with pytest.raises(RefusalError) as refused:
        acts.declare(site, digest, SIGNER, ANNA)  # the example provider has no notified body
    assert refused.value.reasons == ("DECLARATION_INCOMPLETE",)
    with pytest.raises(NotFoundError):
        acts.revoke(site, digest, "nothing to revoke", ANNA)
    provider = demonstration._provider("contouring") | {
        "notified_body": {"name": "Body", "number": "0123", "procedure": "Annex IX",
                          "certificate_id": "NB-1"}
    }  # fmt: skip
    acts.record(site, "provider", digest, provider, ANNA)
    acts.declare(site, digest, SIGNER, ANNA)
    assert look(site, digest).file.field("p8.eu_doc").status == "complete"
    assert marking_of(site, digest) is None, "research mode shows no CE"
    acts.revoke(site, digest, "defect", ANNA)
    assert look(site, digest).file.field("p8.eu_doc").status == "missing"
    with site.database.reading() as transaction:
        assert len(transaction.governed_history(declaration.KIND, digest)) == 2


def test_the_gates_of_a_site_object_to_an_undocumented_release(site: Site) -> None:
    """The desk that the site offers collects its own sources and says what is missing."""
    row = site.registry.row(_digest(site))
    passage = Passage(
        "test-site", "clinical", "example", row.digest, json.loads(row.manifest), "approved",
        "active", "anna", "approver", site.now(),
    )  # fmt: skip
    desk = source_room(site).desk()
    with site.database.reading() as transaction:
        codes = [o.code for gate in desk.gates() for o in gate(passage, transaction)]
    assert codes == [
        "CLASSIFICATION_MISSING",
        "RISK_REGISTER_MISSING",
        "DECLARATION_MISSING",
        "TECHNICAL_FILE_MISSING",
        "OVERSEER_MISSING",
        "DPIA_MISSING",
    ]
    assert risk_trace.ADVICE["RISK_REGISTER_MISSING"]


def test_no_example_provider_in_clinical_mode(tmp_path: Path) -> None:
    """Example data stay out of a site that treats patients."""
    home = Home(tmp_path / "home").create()
    settings = configuration(tmp_path, site={"name": "test-site", "mode": "clinical"})
    with open_site(home, configuration=settings) as site:
        digest = add_newest(site, "example")
        with pytest.raises(RefusalError) as refused:
            demonstration.fill_demonstration(site, digest, ANNA)
    assert refused.value.reasons == ("MODE_NOT_PERMITTED",)


def test_a_later_version_does_not_outdate_the_file_of_an_earlier(site: Site) -> None:
    """Only versions before its own stand in a file."""
    from adapters.database.deployments import ReleaseRow
    from adapters.technical_file.site_sources import earlier_versions

    rows = [ReleaseRow(f"sha256:{v}", "example", v, "", "{}") for v in ("0.9.0", "0.10.0", "1.1.0")]
    found = earlier_versions("example", "1.0.0", rows)
    assert [row["version"] for row in found] == ["0.9.0", "0.10.0"]
    assert BY_PATH["p1.a.previous_versions"].gen == "A"
