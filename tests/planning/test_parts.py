import pytest

from rtl4ml.datapath.delays import delays_of
from rtl4ml.errors import ConfigurationError
from rtl4ml.planning.estimates.families import family_of
from rtl4ml.planning.parts import PARTS, find_part
from rtl4ml.synthesis.targets import TARGETS


def test_every_part_has_a_family_a_timing_model_and_a_target_of_synthesis():
    for name, part in PARTS.items():
        assert part.name == name
        assert part.target in TARGETS
        assert min(part.cells, part.ff, part.bram) > 0
        family_of(part.target)
        delays_of(part.target)


def test_an_unknown_part():
    with pytest.raises(ConfigurationError, match=r"^Part must be one of ecp5-12f, .*, not 'ecp5'$"):
        find_part("ecp5")
