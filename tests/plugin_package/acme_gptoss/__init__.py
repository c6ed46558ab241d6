"""A house rule: no answer is longer than people read."""

from importlib.resources import files

from pytest_gptoss import Estimate, Greedy, metric, sound_items

PROFILE = files(__name__) / "acme.toml"


@metric("answer_length", needs=lambda roles: {"npu": Greedy(roles.subject)}, statistics=("max",))
def answer_length(*, npu):
    """Tokens of the longest answer."""
    lengths = [item.completion_tokens for item in sound_items(npu, "prompts")]
    return Estimate(float(max(lengths)), "tokens", len(lengths))
