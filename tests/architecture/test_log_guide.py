"""No field is recorded that the log guide does not explain (AI Act, Art. 13(3)(f))."""

import pytest

from governance.log_guide import undescribed


@pytest.mark.reg("AIA-13.3c")
def test_every_field_of_the_log_is_explained() -> None:
    """A new kind or field of `audit/kinds.py` has a sentence in `governance/log_fields.py`."""
    assert not undescribed(), f"write a sentence in governance/log_fields.py for {undescribed()}"
