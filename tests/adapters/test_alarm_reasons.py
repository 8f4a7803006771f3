"""Reasons of alarms in both languages, as the monitors write them."""

import pytest

from adapters.web.alarm_reasons import in_words
from adapters.web.texts import translator

REASONS = {
    "dose-error: upper after 41 cases": "dose-error: upper nach 41 Fällen",
    "pooled-auc: mean in 60-69 after 300 cases of 3 sites": (
        "pooled-auc: mean in 60-69 nach 300 Fällen von 3 Standorten"
    ),
    "stopped-volume: not run for 24 hours": "stopped-volume: seit 24 Stunden nicht gelaufen",
    "after a change of the scanner": "after a change of the scanner",
}


@pytest.mark.parametrize(("reason", "german"), REASONS.items())
def test_a_reason_is_told_in_the_language_of_the_page(reason: str, german: str) -> None:
    """What a monitor wrote is translated, what a person wrote is not; English stays as it is."""
    assert in_words(reason, translator("de")) == german
    assert in_words(reason, translator("en")) == reason
