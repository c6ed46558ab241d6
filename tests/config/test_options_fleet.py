"""A fleet: its file, and what may stand in it."""

import pytest

from pytest_gptoss.model.errors import UsageError

THREE = "".join(f'[n{place}]\nurl = "http://10.0.0.{place}:8000"\n' for place in (1, 2, 3))


@pytest.fixture
def fleet_of(settings_of, tmp_path):
    """Settings of a fleet's file and further options."""

    def make(text, **given):
        path = tmp_path / "fleet.toml"
        path.write_bytes(text.encode("utf-8") if isinstance(text, str) else text)
        return settings_of(fleet="fleet.toml", **given)

    return make


def test_nodes_are_devices_under_test_in_the_files_order(fleet_of, tmp_path):
    tmp_path.joinpath("n4.log").touch()
    fourth = '["rack1.n4"]\nurl = "http://d:1/v1"\nlabel = "四号机"\nmodel = "m"\nlog = "n4.log"\n'
    settings = fleet_of(THREE + fourth, gpu_url="http://g", hidden_npu="n2=http://p")
    assert settings.subjects == settings.fleet.nodes == ("n1", "n2", "n3", "rack1.n4")
    node = settings.devices[3]
    assert (node.role, node.label, node.model, node.log) == ("npu", "四号机", "m", tmp_path / "n4.log")
    assert settings.devices[1].hidden == "http://p"
    assert settings.devices[-1].role == "gpu"
    assert (settings.fleet.canaries, settings.fleet.repeats, settings.fleet.in_flight) == (16, 4, 256)


def test_how_much_is_asked(fleet_of, settings_of):
    task = fleet_of(THREE, fleet_parallel="10", fleet_canaries="4", fleet_repeats="2").fleet
    assert (task.busy, task.flying(0), task.flying(1)) == (3, 1, 3)
    assert settings_of(npu_url=["a=http://a", "b=http://b", "c=http://c"]).fleet is None


def test_a_gateway_may_choose_by_the_model(fleet_of):
    text = "".join(f'[n{each}]\nurl = "http://gateway"\nmodel = "m{each}"\n' for each in range(3))
    assert fleet_of(text).subjects == ("n0", "n1", "n2")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[a]\nurl = "http://a"\n', "names 1 nodes: a fleet has 3 to 64"),
        ("".join(f'[n{each}]\nurl = "http://h:{each + 1}"\n' for each in range(65)), "names 65 nodes"),
        (THREE + '[n1]\nurl = "http://x"\n', "names the node 'n1' twice (line 7)"),
        (THREE + '[n4]\nurl = "http://10.0.0.1:8000/v1"\n', "[n1] and [n4] are both http://10.0.0.1:8000"),
        (THREE + '[n4]\nurl = "http://a"\n[n5]\nurl = "http://a.:80"\n', "[n4] and [n5] are both http://a"),
        (
            THREE + '[n4]\nurl = "http://localhost:81"\n[n5]\nurl = "http://127.0.0.1:81"\n',
            "[n4] and [n5] are both http://127.0.0.1:81",
        ),
        (THREE + '[n4]\nurll = "http://x"\n', "[n4] has the key 'urll', which no node has"),
        (THREE + '[rack1.n4]\nurl = "http://x"\n', '["rack1.n01"]'),
        (THREE + "[n4]\n", "[n4] has no url"),
        (THREE + "[n4]\nurl = 5\n", "[n4] url is '5': it takes text"),
        (THREE + '[n4]\nurl = "http://x"\nlabel = " "\n', "[n4] label is ' '"),
        (THREE + '[n4]\nurl = "ftp://x"\n', "[n4] url"),
        (THREE + '[n4]\nurl = "http://x"\nlog = "none.log"\n', "[n4] log is 'none.log': no such file"),
        (THREE + '["甲"]\nurl = "http://x"\n', "letters, digits, '_', '-' and '.' only; write any other"),
        (THREE + '[gpu]\nurl = "http://x"\n', "belongs to another role"),
        ('url = "http://x"\n' + THREE, "[url] is 'http://x', which is no table"),
        ("[n1", "cannot be read as TOML"),
        (b"\xff\xfe", "is not UTF-8"),
        ("", "names 0 nodes"),
    ],
)
def test_what_is_no_fleet(fleet_of, text, message):
    with pytest.raises(UsageError) as raised:
        fleet_of(text)
    assert str(raised.value).startswith("--gptoss-fleet ")
    assert message in str(raised.value)


def test_a_large_file_is_refused_unread(fleet_of, settings_of, tmp_path, monkeypatch):
    with tmp_path.joinpath("large.toml").open("wb") as file:
        file.truncate(100 * 2**20)
    monkeypatch.setattr("pathlib.Path.read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(UsageError, match="has 104857600 bytes: a fleet's file is read up to 1048576"):
        settings_of(fleet="large.toml")


@pytest.mark.parametrize(
    "other",
    [
        {"npu_url": "http://x"},
        {"npu_serve": "serve --port {port}"},
        {"embedded": "1"},
        {"npu_label": "n1=x"},
        {"npu_model": "m"},
        {"npu_log": "n1=fleet.toml"},
        {"replay": "."},
    ],
)
def test_what_the_file_says_is_said_nowhere_else(fleet_of, other):
    with pytest.raises(UsageError, match="exclude each other"):
        fleet_of(THREE, **other)


def test_the_reference_cannot_be_a_node(fleet_of):
    with pytest.raises(UsageError, match="--gptoss-fleet n1 and --cpu-url cpu are both"):
        fleet_of(THREE, cpu_url="http://10.0.0.1:8000")
