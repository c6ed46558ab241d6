"""The file of a fleet: a TOML table for each node, with its address and what it is called.

    [n01]
    url = "http://10.0.0.1:8000"
    label = "rack 3, card 1"

``label``, ``model`` and ``log`` are optional; a log's path begins in the file's directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from pytest_gptoss.config.device_names import refuse_bad_name
from pytest_gptoss.config.option_types import FILE, URL
from pytest_gptoss.config.option_values import CheckedOptions
from pytest_gptoss.model.errors import UsageError
from pytest_gptoss.model.fleet import LEAST_NODES, MOST_NODES
from pytest_gptoss.model.json_type import Json
from pytest_gptoss.model.toml_reader import toml
from pytest_gptoss.model.urls import server_address, server_root

__all__ = ["FleetNode", "nodes_of_fleet"]

_LARGEST_FILE = 2**20
_KEYS = ("url", "label", "model", "log")
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class FleetNode:
    """A node as its table names it."""

    name: str
    url: str
    label: str | None = None
    model: str | None = None
    log: Path | None = None


def nodes_of_fleet(options: CheckedOptions) -> tuple[FleetNode, ...]:
    """The nodes of ``--gptoss-fleet`` in the file's order, none without it.

    Raises UsageError naming the file, the table, the key and the rule.
    """
    path = options.value("fleet")
    if path is None:
        return ()
    origin = f"{options.origin('fleet')} {path}"
    tables = _tables(path, origin)
    if not LEAST_NODES <= len(tables) <= MOST_NODES:
        raise UsageError(
            f"{origin} names {len(tables)} nodes: a fleet has {LEAST_NODES} to {MOST_NODES}; fewer are "
            "configurations, named with --npu-url NAME=URL"
        )
    nodes = tuple(_node(path, origin, name, table) for name, table in tables.items())
    _refuse_doubled(origin, nodes)
    return nodes


def _tables(path: Path, origin: str) -> Mapping[str, Json]:
    try:
        size = path.stat().st_size
        if size > _LARGEST_FILE:
            raise UsageError(f"{origin} has {size} bytes: a fleet's file is read up to {_LARGEST_FILE}")
        tables: Mapping[str, Json] = toml.loads(path.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{origin} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{origin} is not UTF-8 text: save it as UTF-8") from None
    except (ValueError, RecursionError) as error:  # of the TOML reader
        raise UsageError(f"{origin} {_why_unreadable(str(error))}") from None
    return tables


def _why_unreadable(said: str) -> str:
    """What is wrong with a text that is no TOML; a doubled name is one that it declares twice."""
    doubled = re.search(r"Cannot declare \('(.+)',\) twice \(at line (\d+)", said)
    if doubled is not None:
        return f"names the node {doubled[1]!r} twice (line {doubled[2]}): give each node a name of its own"
    return f"cannot be read as TOML: {said[:200]}"


def _node(path: Path, origin: str, name: str, table: Json) -> FleetNode:
    place = f"{origin}: [{name[:_SHOWN]}]"
    if not isinstance(table, dict):
        raise UsageError(f"{place} is {str(table)[:_SHOWN]!r}, which is no table; a node is [NAME] and url")
    try:
        refuse_bad_name(name, "[NAME]")
    except UsageError as error:
        raise UsageError(f"{place}: {error}; write any other name as its label") from None
    unknown = next((key for key in table if key not in _KEYS), None)
    if unknown is not None:
        raise UsageError(
            f"{place} has the key {unknown[:_SHOWN]!r}, which no node has; a node has {', '.join(_KEYS)}, "
            'and a name with a dot in it stands in quotes, as ["rack1.n01"]'
        )
    texts = {key: _text(place, key, value) for key, value in table.items()}
    if "url" not in texts:
        raise UsageError(f'{place} has no url; add url = "http://HOST:8000"')
    return FleetNode(
        name,
        str(URL.read(texts["url"], f"{place} url")),
        texts.get("label"),
        texts.get("model"),
        FILE.read(texts["log"], f"{place} log", path.parent) if "log" in texts else None,
    )


def _text(place: str, key: str, value: Json) -> str:
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        raise UsageError(f"{place} {key} is {str(value)[:_SHOWN]!r}: it takes text on one line, in quotes")
    return value.strip()


def _refuse_doubled(origin: str, nodes: tuple[FleetNode, ...]) -> None:
    """Raise UsageError for two nodes at one address; a gateway may choose by the model's name."""
    for twin, node in combinations(nodes, 2):
        root = server_root(node.url)
        named = twin.model is not None and node.model is not None and twin.model != node.model
        if server_address(twin.url) == server_address(node.url) and not named:
            raise UsageError(
                f"{origin}: [{twin.name}] and [{node.name}] are both {root}: a server agrees with itself; "
                "give each node its own address, or, where a gateway chooses the server by it, its model"
            )
