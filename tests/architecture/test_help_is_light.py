"""The command line starts fast: help loads none of the heavy libraries."""

import subprocess
import sys

HEAVY = ("torch", "dbos", "highdicom", "shap", "captum", "fhir", "matplotlib", "fastapi", "monai")


def test_help_loads_no_heavy_library() -> None:
    """`osteon --help` must not load torch or any other slow library."""
    code = (
        "import sys\n"
        "from typer.testing import CliRunner\n"
        "from adapters.cli.main import app\n"
        "result = CliRunner().invoke(app, ['--help'])\n"
        "assert result.exit_code == 0, result.output\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.stdout.strip() == "[]", result.stdout + result.stderr
