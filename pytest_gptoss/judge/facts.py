"""Facts about a server, wherever they come from, and versions compared by their release segment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pytest_gptoss.judge.evidence import sound_items
from pytest_gptoss.model.errors import InsufficientData
from pytest_gptoss.model.message import say
from pytest_gptoss.model.results import Measurement
from pytest_gptoss.model.subjects import KnownFact, ServerFacts

__all__ = ["FactBook", "Release", "Stated", "facts_of", "known_fact", "release", "usable_facts"]

Release = tuple[int, ...]
Stated = Mapping[str, Mapping[str, str]]
"""What the user says: device name -> fact -> value (``--gptoss-info npu.cann=8.5.1``)."""

SAID = "--gptoss-info"
_UNTAGGED = re.compile(r"v?0\.1\.dev\d")
"""What a build from a clone without tags calls itself, whatever its version is."""
_RELEASE = re.compile(r"v?(\d+(?:\.\d+)*)")


def release(version: str) -> Release | None:
    """The release segment of a version, without zeros at its end; None where there is none.

    0.18.0rc1, 0.18.0.post1, 0.18.0+cpu and 0.18 are all (0, 18): a candidate counts as its release.
    """
    found = _RELEASE.match(version.strip())
    if found is None:
        return None
    parts = [int(part) for part in found[1].split(".")]
    while len(parts) > 1 and parts[-1] == 0:
        parts.pop()
    return tuple(parts)


def _tells(fact: KnownFact) -> bool:
    return _UNTAGGED.match(fact.value) is None


@dataclass(frozen=True)
class FactBook:
    """All that is known of one device: its own word first, then what the user states."""

    device: str
    facts: Mapping[str, KnownFact]

    @classmethod
    def of(cls, device: str, server: ServerFacts | None, stated: Stated) -> FactBook:
        """Gather; of two sources that tell the same fact the server's own word counts.

        A server that did not answer (None) tells nothing. A build that does not know its version
        tells none, so that a stated one counts.
        """
        facts = {} if server is None else {fact.name: fact for fact in server.known if _tells(fact)}
        if server is not None and server.version is not None and release(server.version) is not None:
            version = KnownFact("vllm", server.version, "/version")
            facts.update({"vllm": version} if _tells(version) else {})
        said = {name: KnownFact(name, value, SAID) for name, value in stated.get(device, {}).items()}
        return cls(device, {**facts, **{name: fact for name, fact in said.items() if name not in facts}})

    def get(self, name: str) -> KnownFact | None:
        """A fact by name; None when nobody tells it."""
        return self.facts.get(name)


def facts_of(measurement: Measurement[ServerFacts]) -> ServerFacts:
    """What a server says of itself; raises InsufficientData when it did not answer."""
    return sound_items(measurement, "servers")[0]


def usable_facts(measurement: Measurement[ServerFacts]) -> ServerFacts:
    """The same of a server that has a model to ask; raises InsufficientData for any other."""
    facts = facts_of(measurement)
    if facts.model is None:
        raise InsufficientData(facts.problem)
    return facts


def known_fact(
    measurement: Measurement[ServerFacts], stated: Stated, name: str, *, example: str
) -> KnownFact:
    """A fact by its name; raises InsufficientData, with ``example`` to state, when nobody tells it."""
    device = measurement.device
    fact = FactBook.of(device, facts_of(measurement), stated).get(name)
    if fact is None:
        raise InsufficientData(
            say(
                "{device}: its {name} is not known: name its log with --gptoss-npu-log "
                "{device}=FILE, or state it with --gptoss-info {device}.{name}={example}, or "
                "start it with VLLM_SERVER_DEV_MODE=1",
                device=device,
                name=name,
                example=example,
            )
        )
    return fact
