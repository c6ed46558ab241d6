"""The rows of the bench ask the ground-truth server for what it has, and for what they are called after."""

import pytest
from detection.bench import SOUND_STREAMS, UNSOUND_STREAMS, bench_rows

from pytest_gptoss.truth.script import Script
from pytest_gptoss.truth.timeline import timeline

SCRIPTS = {name: row[1] for name, row in [*UNSOUND_STREAMS.items(), *SOUND_STREAMS.items()]}


def test_every_stream_has_a_row_that_says_what_should_notice_it():
    rows = {row.id: row for row in bench_rows()}
    for name, (_, _, expect) in UNSOUND_STREAMS.items():
        assert rows[name].expect == expect
    assert all(rows[name].sound for name in SOUND_STREAMS)


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_stream_can_be_played(name):
    plain = timeline(Script(), 32, chat=True)
    assert timeline(Script().changed(SCRIPTS[name]), 32, chat=True) != plain


def test_a_buffered_stream_is_one_write_and_blocks_are_several():
    whole = timeline(Script().changed(SCRIPTS["bench-buffered"]), 32, chat=True)
    blocks = timeline(Script().changed(SCRIPTS["bench-blocks"]), 32, chat=True)
    assert len(whole) == 1
    assert [block.tokens >= 4 for block in blocks if block.tokens][:-1] == [True, True, True]
