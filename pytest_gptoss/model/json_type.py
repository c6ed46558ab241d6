"""The type of JSON values."""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Json"]

Json: TypeAlias = Any
"""What ``json.dumps`` accepts: dict, list, str, int, float (finite), bool, None."""
