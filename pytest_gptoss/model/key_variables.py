"""Environment variables that hold API keys."""

from __future__ import annotations

from collections.abc import Mapping

from pytest_gptoss.model.subjects import Role

__all__ = ["KEY_VARIABLE", "VLLM_KEY_VARIABLE", "key_variable", "without_key_variables"]

_SUFFIX = "_API_KEY"
KEY_VARIABLE = f"GPTOSS_<ROLE>{_SUFFIX}"
"""How messages name the variables of all roles together."""
VLLM_KEY_VARIABLE = f"VLLM{_SUFFIX}"
"""vLLM's own: the key that a server asks for."""


def key_variable(role: Role) -> str:
    """The variable with the key for the servers of a role: ``GPTOSS_NPU_API_KEY``."""
    return KEY_VARIABLE.replace("<ROLE>", role.upper())


def without_key_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment for a process that is to see nobody's API keys."""
    return {name: value for name, value in environment.items() if not name.endswith(_SUFFIX)}
