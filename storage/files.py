"""The names of a revision's files, apart from all else, so that validation has nothing to import."""

MANIFEST = "manifest.json"
WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
SCOPE = "scope.safetensors"
