"""The guide's features that do not show over HTTP, as the reports show them by configuration."""

import pytest
from documents import recorded, with_features

from pytest_gptoss.config.info import Info
from pytest_gptoss.config.settings import DeviceSettings, Settings
from pytest_gptoss.model.language import LANGUAGES
from pytest_gptoss.model.serve_command import read_serve_command
from pytest_gptoss.report.builders.features import configured_features
from pytest_gptoss.report.formats.html import html
from pytest_gptoss.report.formats.markdown import markdown
from pytest_gptoss.report.schema import faults
from pytest_gptoss.report.tables.configured import configured_table
from pytest_gptoss.report.tables.features import feature_table
from pytest_gptoss.report.wording import Wording


@pytest.fixture
def document():
    return with_features(recorded("passing"))


def texts(table):
    return [[cell.text for cell in row] for row in table.rows]


def test_each_feature_has_its_configurations_and_what_they_say(document):
    say = Wording("en")
    assert faults(document) == []
    table = configured_table(document, say)
    assert table.head[3:] == ("Against gpu", "Against npu")
    assert texts(table) == [
        ["ACLGraph", "graph", "cudagraph_mode=FULL", "agrees", "departs"],
        ["Tensor Parallel (TP)", "tp2", "tensor_parallel_size=2", "not judged", "not judged"],
        ["Pipeline Parallel (PP)", "no configuration is known to have it", "not known of npu, graph, tp2",
         "", ""],
    ]  # fmt: skip
    assert table.rows[0][4].status == "FAIL"


def test_the_guides_table_of_one_configuration_is_filled(document):
    say = Wording("en")
    graph, tensor, pipeline, experts = texts(feature_table(document, "graph", say))[:4]
    assert graph[1:] == ["departs", "cudagraph_mode=FULL (serve line); against gpu: agrees; against npu: "
                         "departs; configuration.token_match_rate"]  # fmt: skip
    assert tensor[1:] == ["off", "tensor_parallel_size=1 (serve line)"]
    assert "--gptoss-info graph.pipeline_parallel_size=2" in pipeline[2]
    assert "--npu-serve" in experts[2]


def test_equal_configurations_share_a_line(document):
    found = document["measurements"]["features"]
    found[0]["configurations"] += [{**found[0]["configurations"][1], "device": "graph2"}]
    assert texts(configured_table(document, Wording("en")))[0][1] == "graph, graph2"


def test_where_nothing_is_known_there_is_no_table(document):
    document["measurements"]["features"] = document["measurements"]["features"][2:]
    assert configured_table(document, Wording("en")).rows == ()
    assert configured_table(recorded("passing"), Wording("en")).rows == ()


@pytest.mark.parametrize("language", LANGUAGES)
def test_it_is_in_the_readers_language(document, language):
    say = Wording(language)
    text = markdown(document, language)
    assert say("section.configured") in text
    assert say("feature.departs") in text
    assert say("source.serve line") in text


def test_the_page_has_it(document):
    document["measurements"]["load"] = None  # draws nothing
    assert Wording("zh")("section.configured") in html(document, "zh")


class Empty:
    """A store in which nothing was measured."""

    def load(self, scenario_id):
        return None


def test_a_server_that_did_not_start_is_known_by_its_line_and_one_elsewhere_by_what_is_stated():
    line = read_serve_command("vllm serve m --port {port} -ep")
    devices = (DeviceSettings("npu", "a", "http://a:1"), DeviceSettings("npu", "b", None, serve=line))
    settings = Settings(devices=devices, info=Info({"a": {"tensor_parallel_size": "2"}}))
    found = {each["feature"]: each["configurations"] for each in configured_features(Empty(), settings, [])}
    assert [(each["has"], each["source"]) for each in found["tp"]] == [
        (True, "--gptoss-info"), (False, "serve line"),
    ]  # fmt: skip
    assert [each["has"] for each in found["ep"]] == [None, True]
