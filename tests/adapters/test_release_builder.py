"""A published release never changes; it is made again bit for bit whatever the code became."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator
from importlib import invalidate_caches
from pathlib import Path

import pytest

from adapters.release_builder import (
    CODE_ARCHIVE,
    assemble,
    build_release,
    newest_published,
    publish,
    published,
    published_version,
)
from audit.errors import NotFoundError, ReleaseError, ReleaseTamperedError
from governance.release import MANIFEST, attach, digest_of, open_release, unpack_zip
from plugins.host.discovery import installed_plugins

SOURCE = """
from models.unet import network  # a package that the manifest names
from plugins.host.manifest import Input, Manifest, Output

class Hip:
    manifest = Manifest(
        "hip", "{version}", "Hip", "Test", "analytic", inputs=(Input("ct", "CT"),),
        outputs=(Output("Measurement", "v", "1", "SCT", "v"),),
        weights=("hip.bin",), model_packages=({packages}),
    )
    def load(self, artifact): ...
    def predict(self, case, parameters): ...
"""


class Tree:
    """A plugin package of another distribution in a folder on the import path."""

    def __init__(self, root: Path) -> None:
        self.package = root / "hip_package"
        (self.package / "weights").mkdir(parents=True)
        (self.package / "tests").mkdir()
        (self.package / "__init__.py").write_text("")
        (self.package / "card.md").write_text("# Hip\n")
        (self.package / "criteria.json").write_text("{}")
        (self.package / "labels.json").write_text("[]")
        (self.package / "tests" / "test_it.py").write_text("")
        (self.package / "weights" / "hip.bin").write_bytes(b"weights")
        information = root / "hip_package-0.1.dist-info"
        information.mkdir()
        (information / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: hip-package\nVersion: 0.1\n"
        )
        (information / "entry_points.txt").write_text(
            "[osteon.plugins]\nhip = hip_package.plugin:Hip\n"
        )
        self.write("1.0.0")

    def write(self, version: str, packages: str = '"models.unet",', more: str = "") -> None:
        """Write the plugin's module anew, as an edit of the working tree does."""
        text = SOURCE.format(version=version, packages=packages) + more
        (self.package / "plugin.py").write_text(text)
        for name in ("hip_package.plugin", "hip_package"):
            sys.modules.pop(name, None)
        invalidate_caches()


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Tree]:
    """Put a plugin package on the import path."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield Tree(tmp_path / "site")
    for name in ("hip_package.plugin", "hip_package"):
        sys.modules.pop(name, None)


def test_release_holds_everything_and_is_reproducible(tree: Tree, tmp_path: Path) -> None:
    """Code, models, weights, card, criteria and bill are members; twice gives the same bytes."""
    path = build_release("hip", tmp_path / "one")
    release = open_release(path)
    names = set(release.members)
    assert path.name == "hip-1.0.0.osteon"
    assert names >= {
        *("card.md", "criteria.json", "sbom.json", "weights/hip.bin"),
        *("code/hip_package/__init__.py", "code/hip_package/plugin.py"),
        *("code/hip_package/labels.json", "code/models/unet/__init__.py"),
    }
    assert not [name for name in names if "tests/" in name or "releases/" in name]
    manifest = release.manifest
    assert manifest["entry_point"] == "hip_package.plugin:Hip"
    assert set(manifest["runtime"]["pins"]) == {"numpy", "torch"}
    assert manifest["built_by"].startswith("osteon ")
    assert build_release("hip", tmp_path / "two").read_bytes() == path.read_bytes()


def test_bill_of_materials_names_the_pins(tree: Tree, tmp_path: Path) -> None:
    """The bill is CycloneDX, with one component and package URL for every pin."""
    bill = json.loads(open_release(build_release("hip", tmp_path)).member("sbom.json"))
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    components = {item["name"]: item for item in bill["components"]}
    assert components["torch"]["purl"] == f"pkg:pypi/torch@{components['torch']['version']}"
    assert {"numpy", "pydicom", "torch"} <= set(components)
    assert len({item["bom-ref"] for item in bill["components"]}) == len(bill["components"])


def test_published_version_survives_every_change(tree: Tree, tmp_path: Path) -> None:
    """After code, card and weights changed, the frozen version gives the same bytes again."""
    bundle = build_release("hip", tmp_path / "built")
    attach(bundle, "signatures/a.json", b"{}")
    folder = publish(bundle)
    assert folder == tree.package / "releases" / "1.0.0"
    tree.write("2.0.0", more="CHANGED = True\n")
    (tree.package / "card.md").write_text("# Other\n")
    (tree.package / "weights" / "hip.bin").write_bytes(b"other weights")
    again = assemble("hip", "1.0.0", tmp_path / "again")
    assert again.read_bytes() == bundle.read_bytes()
    publish(build_release("hip", tmp_path / "built"))
    assert published("hip") == ("1.0.0", "2.0.0")
    assert newest_published("hip") == "2.0.0"
    assert published_version("hip") == ("hip", "2.0.0")
    assert published_version("hip-1.0.0") == ("hip", "1.0.0")
    with pytest.raises(NotFoundError, match=r"1\.0\.0, 2\.0\.0\), found 3\.0\.0"):
        published_version("hip-3.0.0")
    assert assemble("hip", "1.0.0", tmp_path / "again").read_bytes() == bundle.read_bytes()


def test_published_version_cannot_be_published_with_another_content(
    tree: Tree, tmp_path: Path
) -> None:
    """The same version again is nothing new when equal, and refused when anything differs."""
    bundle = build_release("hip", tmp_path)
    folder = publish(bundle)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert publish(bundle) == folder
    tree.write("1.0.0", more="CHANGED = True\n")
    with pytest.raises(ReleaseError, match="published with another content"):
        publish(build_release("hip", tmp_path))
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_versions_are_ordered_by_number(tree: Tree, tmp_path: Path) -> None:
    """1.10.0 is newer than 1.9.0."""
    for version in ("1.10.0", "1.9.0"):
        tree.write(version)
        publish(build_release("hip", tmp_path))
    assert newest_published("hip") == "1.10.0"


def test_tampered_frozen_files_are_refused(tree: Tree, tmp_path: Path) -> None:
    """A changed code archive, a changed manifest or a missing weight file is not assembled."""
    folder = publish(build_release("hip", tmp_path))
    archive, manifest = folder / CODE_ARCHIVE, folder / MANIFEST
    for path, old, new in ((archive, b"# Hip", b"# Hop"), (manifest, b'"Hip"', b'"Hop" ')):
        content = path.read_bytes()
        path.write_bytes(content.replace(old, new))
        with pytest.raises(ReleaseTamperedError):
            assemble("hip", "1.0.0", tmp_path)
        path.write_bytes(content)
    stored = tree.package / "weights" / f"{digest_of(b'weights').removeprefix('sha256:')}.bin"
    assert stored.read_bytes() == b"weights"
    stored.write_bytes(b"WEIGHTS")
    with pytest.raises(ReleaseTamperedError):
        assemble("hip", "1.0.0", tmp_path)
    stored.unlink()
    with pytest.raises(ReleaseTamperedError, match="no such file"):
        assemble("hip", "1.0.0", tmp_path)


@pytest.mark.parametrize(
    ("version", "packages", "more", "named"),
    [
        ("1.0", '"models.unet",', "", "like 1.2.3"),
        ("1.0.0", "", "", "imports models.unet"),
        ("1.0.0", '"models.unet",', "def f():\n    import adapters.config", "adapters.config"),
        ("1.0.0", '"models.unet",', "import plugins.example.plugin", "plugins.example"),
        ("1.0.0", '"models.nothing",', "", "models.nothing"),
    ],
)
def test_incomplete_plugin_is_not_built(
    tree: Tree, tmp_path: Path, version: str, packages: str, more: str, named: str
) -> None:
    """A version of another form, or an import that the release would not carry, is refused."""
    text = SOURCE.format(version=version, packages=packages)
    tree.write(version, packages)
    (tree.package / "more.py").write_text(more)
    assert text in (tree.package / "plugin.py").read_text()
    with pytest.raises((ReleaseError, ModuleNotFoundError), match=named):
        build_release("hip", tmp_path)


def test_card_and_weights_are_required(tree: Tree, tmp_path: Path) -> None:
    """There is no release without a card, or without the weights that the manifest names."""
    shutil.rmtree(tree.package / "weights")
    with pytest.raises(ReleaseError, match=r"hip\.bin"):
        build_release("hip", tmp_path)
    (tree.package / "card.md").unlink()
    with pytest.raises(ReleaseError, match=r"card\.md"):
        build_release("hip", tmp_path)


def test_unpublished_and_unknown_are_not_found(tree: Tree, tmp_path: Path) -> None:
    """Without a published version the message says how to make one."""
    with pytest.raises(NotFoundError) as caught:
        newest_published("hip")
    assert "--publish" in caught.value.advice
    with pytest.raises(NotFoundError, match="published are: none"):
        assemble("hip", "1.0.0", tmp_path)
    with pytest.raises(NotFoundError, match="nobody"):
        build_release("nobody", tmp_path)


@pytest.mark.parametrize(
    ("plugin", "version"),
    [(p.name, v) for p in installed_plugins() for v in published(p.name)] or [("", "")],
)
def test_frozen_versions_of_the_suite_are_whole(plugin: str, version: str, tmp_path: Path) -> None:
    """Every published version in the repository still assembles, each member as it was."""
    if not plugin:
        pytest.skip("nothing is published yet")
    path = assemble(plugin, version, tmp_path)
    release = open_release(path)
    release.verify()
    assert (release.manifest["plugin"], release.manifest["version"]) == (plugin, version)


def test_frozen_code_is_in_the_manifest(tree: Tree, tmp_path: Path) -> None:
    """What lies in the frozen code archive has the hashes that the frozen manifest states."""
    folder = publish(build_release("hip", tmp_path))
    members = json.loads((folder / MANIFEST).read_bytes())["members"]
    content = unpack_zip((folder / CODE_ARCHIVE).read_bytes(), CODE_ARCHIVE)
    assert {n: digest_of(c) for n, c in content.items()} == {
        n: d for n, d in members.items() if not n.startswith("weights/")
    }
