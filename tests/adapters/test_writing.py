"""What a command writes beside a release: whole, or an error in words and nothing half written."""

import errno
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from adapters.cli import main as command_line
from adapters.cli.main import app
from adapters.release_builder import build_release
from adapters.writing import as_storage_error, write_whole
from audit.errors import DiskFullError, StorageError
from governance.release import build


def bundle(folder: Path) -> Path:
    """Write a small release."""
    path = folder / "knee-1.0.0.osteon"
    path.write_bytes(build({"plugin": "knee", "version": "1.0.0"}, {"card.md": b"a card"}))
    return path


def test_a_release_that_cannot_be_signed_is_told_and_left_as_it_was(tmp_path: Path) -> None:
    """The file beside the bundle cannot be made: code, expected, found; no byte is changed."""
    path = bundle(tmp_path)
    before = path.read_bytes()
    (tmp_path / f"{path.name}.new").mkdir()  # what root cannot write to either
    found = CliRunner().invoke(
        app, ["release", "sign", str(path), "--home", str(tmp_path / "home")]
    )
    assert isinstance(found.exception, StorageError)
    assert str(found.exception) == f"expected to write {path.name}, found EISDIR (Is a directory)"
    assert found.exception.code == "STORAGE"
    assert "you may write to" in found.exception.advice
    assert path.read_bytes() == before


def test_a_read_only_folder_is_told_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernel says of a read-only folder, when the whole file is there but for its name."""
    path = bundle(tmp_path)
    before = path.read_bytes()

    replace = Path.replace

    def denied(given: Path, target: Path) -> Path:
        if target == path:
            raise PermissionError(errno.EACCES, "Permission denied", str(target))
        return replace(given, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", denied)
        found = CliRunner().invoke(
            app, ["release", "sign", str(path), "--home", str(tmp_path / "home")]
        )
    assert isinstance(found.exception, StorageError)
    assert "found EACCES (Permission denied)" in str(found.exception)
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == [path.name]
    assert path.read_bytes() == before


def test_a_stale_file_of_a_process_that_died_is_no_obstacle(tmp_path: Path) -> None:
    """It is read-only, as every bundle that is written; it is replaced."""
    path = bundle(tmp_path)
    stale = tmp_path / f"{path.name}.new"
    stale.write_bytes(b"half")
    stale.chmod(0o444)
    found = CliRunner().invoke(
        app, ["release", "sign", str(path), "--home", str(tmp_path / "home")]
    )
    assert found.exit_code == 0, found.output
    assert not stale.exists()


def test_a_release_is_built_whole_or_not_at_all(tmp_path: Path) -> None:
    """A file where the folder should be: an error of the suite, and the file as it was."""
    (tmp_path / "out").write_text("a file")
    with pytest.raises(StorageError, match=r"expected to write example-.*\.osteon, found E"):
        build_release("example", tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.parametrize("name", ["none/a.json", "file/a.json", "folder"])
def test_what_cannot_be_written_leaves_nothing(tmp_path: Path, name: str) -> None:
    """No folder, a file as folder, a folder as file: what was there stays, nothing is added."""
    (tmp_path / "file").write_text("kept")
    (tmp_path / "folder").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError, match="expected to write"):
        write_whole(tmp_path / name, b"new")
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "file").read_text() == "kept"


def test_a_full_disk_is_told_as_such() -> None:
    """It may be tried again when there is room."""
    error = as_storage_error(OSError(errno.ENOSPC, "No space left on device"), "to write a")
    assert isinstance(error, DiskFullError)
    assert error.retryable


def test_no_command_ends_in_a_traceback_of_the_file_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A home that cannot be made: one line with its code, advice, exit status 1, and no path."""
    (tmp_path / "Quillfeather").write_text("a file")
    home = tmp_path / "Quillfeather" / "home"
    monkeypatch.setattr(sys, "argv", ["osteon", "release", "list", "--home", str(home)])
    with pytest.raises(SystemExit) as ended:
        command_line.main()
    told = capsys.readouterr().err
    assert ended.value.code == 1
    assert "STORAGE: expected to read and write, found ENOTDIR" in told
    assert "what to do:" in told
    assert "Quillfeather" not in told
