"""Families by name, model and firmware, and what a state file says of them."""

from __future__ import annotations

import pytest

from firmware_sim.families.family import NAMES, UnknownFamily, family, variants


@pytest.mark.parametrize("name", NAMES)
def test_each_variant_is_found_by_its_own_name_and_no_other(name: str) -> None:
    for variant in variants(name):
        assert variant.name == name
        assert family(name, model=variant.model, firmware=variant.firmware_text) is variant
    assert family(name) is variants(name)[0]


def test_what_there_is_not_is_refused_with_what_there_is() -> None:
    with pytest.raises(UnknownFamily, match="reference"):
        family("unicorn")
    with pytest.raises(UnknownFamily, match=r"'reference 9\.9'; of reference there are: hwtoken reference 1\.0\.0"):
        family("reference", firmware="9.9")
