"""Turns the settings into the environment variables that vLLM and its libraries read when they are imported."""

from pathlib import Path

from lift.settings import Settings

KERNELS = "LIFT_KERNELS"  # the folder in which what is compiled for this processor is kept


def environment(settings: Settings) -> dict[str, str]:
    """What must be set before vLLM is imported; its child processes inherit it."""
    variables = {
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "VLLM_PLUGINS": "lift_cpu_lora",
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "TOKENIZERS_PARALLELISM": "false",
        KERNELS: str(settings.state_dir.resolve() / "cache" / "kernels"),
    }
    if Path(settings.model.base_model).is_dir():
        variables |= {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1"}
    if settings.engine.threads:
        variables |= {"VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": str(settings.engine.threads)}
    return variables
