"""Options of a monitor that can never be right are refused."""

import pytest

from rspnet.cli.monitoring import Monitor
from rspnet.errors import ConfigError


def test_what_can_never_be_right(tmp_path):
    here = str(tmp_path)
    assert Monitor(here, every=3).data == here
    for values, words in (
        ({"every": 3}, "monitor: nothing is measured without a labelled set; name one by monitor.data"),
        ({"data": "-"}, "monitor.data: -; standard input can be read once only"),
        ({"data": here, "views": 0}, "monitor.views: 0; it must be between 1 and 10000"),
    ):
        with pytest.raises(ConfigError) as caught:
            Monitor(**values)
        assert str(caught.value).startswith(words)
