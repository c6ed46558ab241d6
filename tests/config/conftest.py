"""Options as a command line gives them, checked and frozen."""

import pytest

from pytest_gptoss.config.fleet_file import nodes_of_fleet
from pytest_gptoss.config.option_values import OptionTexts, check_options
from pytest_gptoss.config.options import OPTION
from pytest_gptoss.config.settings import settings_from
from pytest_gptoss.run.baseline import recorded_models
from pytest_gptoss.run.trace import level_of_trace


@pytest.fixture
def settings_of(tmp_path):
    """Make settings of options by key: one text, or a list of them; paths begin in ``tmp_path``."""

    def make(**given):
        texts = {key: (value,) if isinstance(value, str) else tuple(value) for key, value in given.items()}
        origins = {key: OPTION[key].flag for key in texts}
        options = check_options(OptionTexts(texts, origins), base=tmp_path)
        return settings_from(
            options,
            recorded=recorded_models(options.value("baseline")),
            trace=level_of_trace(options),
            nodes=nodes_of_fleet(options),
        )

    return make
