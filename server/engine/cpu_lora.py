"""Puts our operators in the place of vLLM's on CPUs, and needs no compiler. vLLM calls `register` in its processes.

The entry point is `vllm.general_plugins` in pyproject.toml. Nothing heavy is imported here, and nothing happens on
other platforms.
"""

OPERATOR = "server.engine.cpu.segmented_lora.SegmentedLora"


def register() -> None:
    """Has the CPU platform take what is ours of LoRA, norms, sampling and decoder layers. Repetition changes nothing.

    With LoRA on a CPU vLLM leaves torch.compile alone but for small functions: where there is no C++ compiler, the
    first tenant whose request needs one would end the engine. So those run as they are written.
    """
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        from server.engine.cpu import decoder, lora_layers, norms, sampling

        type(current_platform).get_punica_wrapper = classmethod(lambda _: OPERATOR)
        type(current_platform).simple_compile_backend = "eager"
        norms.register()
        sampling.register()
        decoder.register()
        lora_layers.register()
