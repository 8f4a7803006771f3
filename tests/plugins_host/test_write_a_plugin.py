"""The tour in docs/write-a-plugin.md works as it is written, from a package of one's own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from adapters.release_builder import build_release
from audit import errors
from audit.errors import ConfigurationError, NotFoundError, RefusalError, SuiteError
from governance.release import folder_name, open_release, unpack
from plugins.host.case import Case
from plugins.host.discovery import check_names, find_plugin, installed_plugins
from plugins.host.findings import Segmentation
from plugins.host.runner import ReleaseWorkers
from tests.simulators.released_plugins import request_for, small_case

PAGE = Path(__file__).resolve().parents[2] / "docs" / "write-a-plugin.md"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Write the files of the page, install them with pip beside the suite, and find them."""
    source = tmp_path_factory.mktemp("source")
    text = PAGE.read_text(encoding="utf-8")
    files = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(files) == 5
    for name, content in files:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(content, encoding="utf-8")
    target = tmp_path_factory.mktemp("target")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--target", str(target), str(source)]
    subprocess.run(command, check=True)
    sys.path.append(str(target))
    yield target
    sys.path.remove(str(target))
    for name in [name for name in sys.modules if name.split(".")[0] == "hospital_knee"]:
        del sys.modules[name]


def test_plugin_is_found_built_and_run(installed: Path, tmp_path: Path) -> None:
    """The installed plugin is found by its entry point, released, and runs in a worker."""
    found = find_plugin("knee")
    assert (found.distribution, found.version) == ("hospital-knee", "0.1.0")
    assert found.package == "hospital_knee"
    assert {"contouring", "example", "knee"} <= {plugin.name for plugin in installed_plugins()}
    release = open_release(build_release("knee", tmp_path))
    assert release.manifest["entry_point"] == "hospital_knee.plugin:Knee"
    assert "weights/window.json" in release.members
    assert release.manifest["runtime"]["pins"] == {"numpy": np.__version__}
    unpack(release, tmp_path / "releases" / folder_name(release.digest))
    case = small_case()
    case.images["ct"].array[1, 1:3, 1:3] = 100.0
    (installed / "hospital_knee" / "plugin.py").write_text("raise RuntimeError")  # changed later
    with ReleaseWorkers(tmp_path / "releases") as workers:
        answer = workers.run(request_for(release.digest), case)
        with pytest.raises(RefusalError) as caught:
            workers.run(request_for(release.digest), small_case())
    marrow = answer.prediction.findings[0]
    assert isinstance(marrow, Segmentation)
    assert marrow.measurements[0].value == pytest.approx(4 * 0.0045)
    assert answer.explanation is not None
    assert answer.explanation.method == "threshold"
    assert caught.value.reasons == ("NO_MARROW",)


def test_names_of_the_suite_are_its_own(installed: Path, tmp_path: Path) -> None:
    """The guard passes here, and names a distribution that owns one of the suite's names."""
    check_names()
    for number, content in enumerate(("audit/__init__.py", "plugins/knee/plugin.py", "models.py")):
        folder = tmp_path / str(number) / "rival-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: rival\nVersion: 1.0\n")
        (folder / "RECORD").write_text(f"{content},,\nrival/__init__.py,,\n")
        from importlib.metadata import Distribution

        with pytest.raises(ConfigurationError, match="rival"):
            check_names([Distribution.at(folder)])


def test_two_plugins_of_one_name_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When two distributions bring a plugin of the same name, nobody guesses which."""
    for name in ("rival-one", "rival-two"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text("[osteon.plugins]\nhip = a.b:C\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ConfigurationError, match=r"rival-\w+ and by rival-\w+"):
        installed_plugins()


def test_unknown_plugin_lists_the_known() -> None:
    """A wrong name is answered with the right ones."""
    with pytest.raises(NotFoundError, match="example"):
        find_plugin("exampel")


def test_error_codes_of_the_page_exist() -> None:
    """Every error code on the page is one of the suite's."""
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    codes = {kind.code for kind in kinds if issubclass(kind, SuiteError)}
    shown = set(re.findall(r"`(PLUGIN_[A-Z]+)`", PAGE.read_text(encoding="utf-8")))
    assert shown
    assert shown <= codes


def test_example_is_short_and_right(tmp_path: Path) -> None:
    """The example has under 40 lines of code and outlines the largest bone, or abstains."""
    source = PAGE.parents[1] / "plugins" / "example" / "plugin.py"
    assert sum(bool(line.strip()) for line in source.read_text().splitlines()) < 40
    release = open_release(build_release("example", tmp_path))
    unpack(release, tmp_path / folder_name(release.digest))
    case = small_case((8, 24, 24))
    array = case.images["ct"].array
    array[5:7, 18:20, 18:20] = 900.0
    empty = Case("1", case.subject, {"ct": small_case((4, 8, 8)).images["ct"]})
    empty.images["ct"].array[:] = -1000.0
    with ReleaseWorkers(tmp_path) as workers:
        answer = workers.run(request_for(release.digest), case)
        nothing = workers.run(request_for(release.digest), empty)
        less = workers.run(request_for(release.digest, threshold_hu=800.0), case)
    bone = answer.prediction.findings[0]
    assert isinstance(bone, Segmentation)
    expected = np.zeros_like(bone.mask)
    expected[2:4, 4:12, 5:15] = True
    assert np.array_equal(bone.mask, expected)
    volume, diameter = (item.value for item in bone.measurements)
    assert volume == pytest.approx(160 * 4.5 / 1000)
    assert diameter == pytest.approx(np.hypot(np.hypot(3.0, 7.0), 9 * 1.5))
    assert nothing.prediction.uncertainty.abstain
    assert less.prediction.uncertainty.reasons == ("NO_BONE_FOUND",)
