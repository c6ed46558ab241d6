"""Acceptance suite for GPT-OSS served by vLLM: whether an NPU is as right as a GPU, and fast enough."""

__version__ = "0.1.0"
