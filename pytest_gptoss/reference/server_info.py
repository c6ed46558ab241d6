"""/server_info, which vLLM serves in its development mode: how this server was started."""

from __future__ import annotations

import os
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import Response

from pytest_gptoss.model.json_type import Json
from pytest_gptoss.reference.limits import BLOCK
from pytest_gptoss.reference.replies import JsonReply
from pytest_gptoss.reference.service import Service, service_of

__all__ = ["dev_mode", "server_info"]


def dev_mode(environ: Mapping[str, str] = os.environ) -> bool:
    """Whether ``VLLM_SERVER_DEV_MODE`` asks for the routes of development."""
    return environ.get("VLLM_SERVER_DEV_MODE", "0") not in ("", "0")


async def server_info(request: Request) -> Response:
    """The configuration as text, or with ``config_format=json`` as JSON."""
    service = service_of(request)
    config = _config(service)
    if request.query_params.get("config_format") == "json":
        return JsonReply({"vllm_config": config, "vllm_env": {}, "system_env": _system()})
    text = ", ".join(f"{name}={value}" for part in config.values() for name, value in part.items())
    return JsonReply({"vllm_config": text, "vllm_env": {}, "system_env": _system()})


def _config(service: Service) -> dict[str, dict[str, Json]]:
    limits = service.engine.limits
    return {
        "model_config": {
            "model": service.root,
            "dtype": f"torch.{service.dtype}",
            "quantization": None,
            "max_model_len": service.engine.max_model_len,
            "enforce_eager": True,
        },
        "parallel_config": {
            "tensor_parallel_size": 1,
            "pipeline_parallel_size": 1,
            "enable_expert_parallel": False,
        },
        "scheduler_config": {
            "max_num_seqs": limits.max_num_seqs,
            "max_num_batched_tokens": limits.max_num_batched_tokens,
            "enable_chunked_prefill": True,
        },
        "cache_config": {"block_size": BLOCK, "num_gpu_blocks": limits.kv_cache_blocks},
        "device_config": {"device": "cpu", "device_type": "cpu"},
    }


def _system() -> dict[str, Json]:
    import torch

    return {"torch_version": torch.__version__}
