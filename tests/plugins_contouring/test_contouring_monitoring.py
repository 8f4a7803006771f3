"""What travels with the contouring release for monitoring: its window and its plan."""

import json

import pytest

from adapters.published import published_digest
from adapters.release_builder import newest_published
from adapters.release_members import package_folder
from governance.monitoring import plan as plans
from governance.monitoring import reference as references
from governance.monitoring.plan import INPUT, RELEASE
from governance.monitoring.watch import build

FOLDER = package_folder("plugins.contouring") / "releases"


@pytest.mark.reg("AIA-72.3")
def test_every_item_of_the_shipped_plan_has_something_to_watch() -> None:
    """The window names the release, and no item against it is blind."""
    version = newest_published("contouring")
    place = FOLDER / version / "attachments"
    plan = plans.decode(json.loads((place / plans.ATTACHMENT).read_text("utf-8")))
    digest = published_digest("contouring", version)
    window = references.decode(
        json.loads((place / references.ATTACHMENT).read_text("utf-8")), digest
    )
    assert window.cases == 34
    assert "contour_volume_ml" in window.numbers
    for item in plan.items:
        if item.metric == INPUT and item.window == RELEASE:
            assert not build(item, window).is_blind, item.name
