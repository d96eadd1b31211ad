"""Puts our LoRA operator in the place of vLLM's on CPUs. vLLM calls `register` in each of its processes.

The entry point is `vllm.general_plugins` in pyproject.toml. Nothing heavy is imported here, and nothing happens on
other platforms.
"""

OPERATOR = "server.engine.segmented_lora.SegmentedLora"


def register() -> None:
    """Makes the CPU platform name our operator; repeated calls change nothing."""
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        type(current_platform).get_punica_wrapper = classmethod(lambda _: OPERATOR)
