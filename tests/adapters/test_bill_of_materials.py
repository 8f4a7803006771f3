"""The bill of materials is valid CycloneDX with a model card, and knows every pinned library."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapters import licences
from adapters.bill_of_materials import Dataset, datasets_of
from adapters.model_import.build import import_model
from adapters.release_builder import build_release
from audit.errors import HostApiError
from governance.components import unknown_components
from governance.release import build, open_release
from tests.simulators.foreign_bundles import Blurred, statement, torchscript
from tests.simulators.released_plugins import bundle


def bill_of(path: Path) -> Any:
    """Return the bill of materials of a bundle."""
    return json.loads(open_release(path).member("sbom.json"))


def model_of(bill: Any) -> Any:
    """Return the machine-learning model of a bill."""
    (found,) = [c for c in bill["components"] if c["type"] == "machine-learning-model"]
    return found


def imported(root: Path, **changes: Any) -> Path:
    """Import a small model."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "model.ts").write_bytes(torchscript(Blurred()))
    document = {k: v for k, v in statement(**changes).items() if v is not None}
    (root / "s.yaml").write_text(yaml.safe_dump(document))
    return import_model(root / "model.ts", root / "s.yaml", root / "out")


@pytest.fixture(scope="module")
def schema() -> Any:
    """The CycloneDX 1.6 schema with those it refers to, from cyclonedx-python-lib; offline."""
    cyclonedx = pytest.importorskip("cyclonedx.schema")
    jsonschema_rs = pytest.importorskip("jsonschema_rs")
    folder = Path(str(cyclonedx.__file__)).parent / "_res"
    documents = {
        name: json.loads((folder / f"{file}.SNAPSHOT.schema.json").read_text())
        for name, file in (
            ("bom-1.6", "bom-1.6"), ("spdx", "spdx"), ("jsf-0.82", "jsf-0.82"),
            ("cryptography-defs", "cryptography-defs"),
        )
    }  # fmt: skip
    registry = jsonschema_rs.Registry(
        [
            (f"http://cyclonedx.org/schema/{name}.{ending}", content)
            for name, content in documents.items()
            for ending in ("schema.json", "SNAPSHOT.schema.json")
        ]
    )
    return jsonschema_rs.validator_for(documents["bom-1.6"], registry=registry)


@pytest.mark.parametrize("plugin", ["contouring", "example"])
def test_bills_of_plugins_are_valid_and_known(plugin: str, schema: Any, tmp_path: Path) -> None:
    """The schema finds no fault, and no component lacks licence or supplier."""
    bill = bill_of(build_release(plugin, tmp_path))
    assert [error.message for error in schema.iter_errors(bill)] == []
    assert unknown_components(bill) == ()
    references = [item["bom-ref"] for item in bill["components"]]
    assert len(set(references)) == len(references)
    assert bill["dependencies"][0]["dependsOn"] == references
    models = [c for c in bill["components"] if c["type"] == "machine-learning-model"]
    assert len(models) == (plugin == "contouring")


def test_the_schema_finds_faults(schema: Any, tmp_path: Path) -> None:
    """The check can fail: an unknown key and a wrong hash are found."""
    bill = bill_of(build_release("contouring", tmp_path))
    model_of(bill)["modelCard"]["colour"] = "red"
    assert list(schema.iter_errors(bill))
    bill = bill_of(build_release("contouring", tmp_path))
    model_of(bill)["components"][0]["hashes"][0]["content"] = "none"
    assert list(schema.iter_errors(bill))


def test_the_model_card_says_what_the_release_says(tmp_path: Path) -> None:
    """Weights, card, data, inputs and outputs of the model are those of the manifest."""
    release = open_release(build_release("contouring", tmp_path))
    model = model_of(json.loads(release.member("sbom.json")))
    members = release.manifest["members"]
    weights = {c["name"]: c["hashes"][0]["content"] for c in model["components"]}
    assert weights == {
        n: d.removeprefix("sha256:") for n, d in members.items() if n.startswith("weights/")
    }
    pointers = {r["url"]: r["hashes"][0]["content"] for r in model["externalReferences"]}
    assert pointers["card.md"] == members["card.md"].removeprefix("sha256:")
    parameters = model["modelCard"]["modelParameters"]
    patients = {name for row in release.manifest["training"] for name in row["trained_on"]}
    (dataset,) = parameters["datasets"]
    stated = {p["name"]: p["value"] for p in dataset["contents"]["properties"]}
    assert stated["osteon:patient-count"] == str(len(patients))
    assert stated["osteon:licence"] == release.manifest["training"][0]["licence"]
    assert not patients & set(json.dumps(model).split('"'))
    assert parameters["task"] == "segmentation"
    assert parameters["inputs"] == [{"format": "CT as ct"}, {"format": "PT as pet"}]
    assert model["modelCard"]["considerations"]["useCases"] == [
        release.manifest["intended_purpose"]
    ]


@pytest.mark.reg("AIA-25.4")
def test_an_imported_model_is_supplied_by_whom_it_was_stated(schema: Any, tmp_path: Path) -> None:
    """Supplier and licence come from the statement; what it leaves open is unknown, not ours."""
    bill = bill_of(imported(tmp_path / "known"))
    assert [error.message for error in schema.iter_errors(bill)] == []
    assert unknown_components(bill) == ()
    assert model_of(bill)["supplier"] == {"name": "The suite's tests"}
    bill = bill_of(imported(tmp_path / "unknown", supplier=None, licence=None))
    assert [error.message for error in schema.iter_errors(bill)] == []
    (found,) = unknown_components(bill)
    assert (found.name, found.missing) == ("bonecore-model", ("licence", "supplier"))
    bill = bill_of(imported(tmp_path / "closed", supplier=None, licence="By contract"))
    (found,) = unknown_components(bill)
    assert found.missing == ("supplier",)


def test_every_pin_has_a_licence_and_what_is_installed_agrees() -> None:
    """The table names every pinned library, as its own metadata do.

    Where this fails after a new pin: `python -m adapters.licences` writes the table anew.
    """
    table, pins = licences.licences(), licences.pins()
    assert sorted(set(pins) - set(table)) == []
    assert sorted(set(table) - set(pins) - {"torch"}) == []
    compared = 0
    for name, pinned in pins.items():
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        if found.version.partition("+")[0] == pinned:
            assert licences.licence_of(found) == table[name], name
            compared += 1
    assert compared > 100


def test_data_of_several_weights_are_named_once() -> None:
    """Two folds on one collection are one dataset, with the patients of both."""
    rows = [
        {"source": "A", "licence": "CC0-1.0", "trained_on": ["p1", "p2"]},
        {"source": "A", "licence": "CC0-1.0", "trained_on": ["p2", "p3"]},
        {"source": "B", "licence": "unknown", "trained_on": [], "patient_count": 7},
        {"source": "C", "licence": "unknown"},
    ]
    assert datasets_of(rows) == (
        Dataset("A", "CC0-1.0", 3), Dataset("B", "unknown", 7), Dataset("C", "unknown", None),
    )  # fmt: skip


def test_a_release_for_another_host_is_not_registered(tmp_path: Path) -> None:
    """Adding a release that this suite cannot run is refused in plain words; nothing is kept."""
    from adapters.compose import open_site
    from adapters.home import Home
    from adapters.published import sign_bundle

    path = tmp_path / "trial.osteon"
    path.write_bytes(bundle("def predict(self, case, parameters): ...", host_api=2))
    home = Home(tmp_path / "home").create()
    with open_site(home) as site:
        sign_bundle(site.keys, path, site.now())
        with pytest.raises(HostApiError) as caught:
            site.registry.add(path)
        assert "was built for host interface 2 and this suite offers 1" in str(caught.value)
        assert "host interface 2" in caught.value.advice
        assert list(site.home.releases.iterdir()) == []


def test_the_bill_of_a_registered_release_is_read(tmp_path: Path) -> None:
    """The site gives the bill of a release to its gates; a broken or absent one is none."""
    from adapters.compose import open_site
    from adapters.home import Home
    from adapters.published import sign_bundle

    methods = "def predict(self, case, parameters): ...\ndef explain(self, case, prediction): ..."
    home = Home(tmp_path / "home").create()
    with open_site(home) as site:
        for index, content in enumerate((None, b"no JSON", b"[]")):
            path = tmp_path / f"{index}.osteon"
            members = {} if content is None else {"sbom.json": content}
            path.write_bytes(bundle(methods, version=f"1.0.{index}", members=members))
            digest = site.registry.add(sign_bundle(site.keys, path, site.now())).digest
            bill = site.registry.bill(digest)
            assert (bill is not None) == (content is None)
            if bill is not None:
                assert unknown_components(bill) == ()
        release = open_release(tmp_path / "0.osteon")
        declaration = {k: v for k, v in release.manifest.items() if k != "members"}
        members = {n: release.member(n) for n in release.members if n != "sbom.json"}
        bare = tmp_path / "bare.osteon"
        bare.write_bytes(build({**declaration, "version": "2.0.0"}, members))
        digest = site.registry.add(sign_bundle(site.keys, bare, site.now())).digest
        assert site.registry.bill(digest) is None
