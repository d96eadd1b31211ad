"""One real vLLM engine with a tiny random base model, for all integration tests of the engine."""

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # torch warns about itself while vLLM imports it
    import vllm.lora.layers
    import vllm.lora.punica_wrapper.punica_cpu  # noqa: F401
