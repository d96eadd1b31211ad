"""All settings of all roles as one object, read once at start: environment over TOML file over defaults.

`LIFT_GATEWAY__PORT=7000` sets `[gateway] port`; LIFT_CONFIG names the TOML file. `lift config` prints the result with
secrets masked.
"""

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lift.errors import InvalidOption
from lift.limits import Strategy

MIB = 1 << 20


class Section(BaseModel):
    """One table of the TOML file; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LogSettings(Section):
    """How every role logs, on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    json_lines: bool = True


class CatalogueSettings(Section):
    """Where the truth is: sqlite:///path, or postgresql+psycopg://user:password@host/database."""

    url: SecretStr = SecretStr("sqlite:///lift.sqlite")


class ObjectSettings(Section):
    """The S3-compatible store of document bytes, journals and revisions."""

    endpoint: str = "127.0.0.1:8333"
    access_key: str = "lift"
    secret_key: SecretStr = SecretStr("")
    bucket: str = "lift"
    region: str = "us-east-1"
    secure: bool = False


class QueueSettings(Section):
    """Celery's broker: redis://…, rediss://… or amqp://…; it carries wake-ups only."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    name: str = "lift"


class ModelSettings(Section):
    """The one base model of a deployment: a Hugging Face id or a folder."""

    base_model: str = "HuggingFaceTB/SmolLM2-135M-Instruct"
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="of weights in memory; auto: bfloat16, float32 on CPUs that are slow in it"
    )
    template: Literal["auto", "chatml", "llama3", "gemma", "plain"] = "auto"
    max_lora_rank: Annotated[Literal[8, 16, 32, 64, 128, 256], BeforeValidator(int)] = 128  # a variable holds text


class GatewaySettings(Section):
    """The front door: gRPC for tenants, gRPC for operators on a port of its own, HTTP for OpenAI clients."""

    host: str = "127.0.0.1"
    port: int = 7433
    admin_host: str = "127.0.0.1"
    admin_port: int = 7434
    http_host: str = "127.0.0.1"
    http_port: int = 7435
    operator_key: SecretStr = SecretStr("")
    max_document_bytes: int = Field(default=16 * MIB, gt=0)
    max_question_characters: int = Field(default=32_000, gt=0)
    default_max_tokens: int = Field(default=128, gt=0)
    max_tokens: int = Field(default=2048, gt=0)
    max_concurrent_queries: int = Field(
        default=256, gt=0, description="asked of all engines at once, which get no more than they write at once"
    )
    max_queued_queries: int = Field(default=1024, ge=0)
    query_timeout_seconds: float = Field(default=120, gt=0)
    node_timeout_seconds: float = Field(default=10, gt=0)


class GeneratorSettings(Section):
    """The question writer, and the OpenAI-compatible endpoint that it asks."""

    host: str = "127.0.0.1"
    port: int = 7436
    address: str = "127.0.0.1:7436"
    endpoint: str = "http://127.0.0.1:8000/v1"
    api_key: SecretStr = SecretStr("")
    model: str = "base"
    writer: str = Field(default="", description="model of the endpoint that was taught to write questions, if any")
    strategy: Strategy = "sentence"
    concurrency: int = Field(default=64, gt=0)
    retries: int = Field(default=3, ge=0)
    request_timeout_seconds: float = Field(default=120, gt=0)
    window_characters: int = Field(default=600, ge=0)


class TrainerSettings(Section):
    """Where jobs are trained."""

    profile: str = "paper"
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(default=0, ge=0, description="torch threads; 0 leaves the choice to torch")
    devices: int = Field(
        default=1,
        ge=0,
        le=64,
        description="processes that make a step together, a GPU each; on a CPU, `threads` each; 0: as many as are fast",
    )
    niceness: int = Field(default=10, ge=0, le=19, description="how far training stands back for answers; see nice(2)")
    primer: str = Field(default="", description="folder of a primer, at which adapters begin, if any")
    jobs_at_once: int = Field(default=4, gt=0, description="jobs that share the steps of one trainer")
    lease_seconds: float = Field(default=20, gt=0)
    sweep_seconds: float = Field(default=2, gt=0)
    max_attempts: int = Field(default=5, gt=0)
    retry_seconds: float = Field(default=5, gt=0, description="first pause; doubles to 5 minutes")
    publish_timeout_seconds: float = Field(default=120, gt=0)
    asked_pairs: int = Field(default=64, ge=0, description="pairs that a new revision is asked, to measure it")


class EngineSettings(Section):
    """One vLLM process."""

    node: str = Field(default="engine-1", description="its name in the catalogue; unique, kept over restarts")
    host: str = "127.0.0.1"
    port: int = 7437
    address: str = "127.0.0.1:7437"
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=7438, description="OpenAI-compatible endpoint of the base model, for the generator")
    slots: int = Field(default=32, gt=0, description="adapters held in memory")
    batch_slots: int = Field(default=8, gt=0, description="distinct adapters in one step, on a GPU; a CPU takes all")
    writer: str = Field(default="", description="folder of a question writer, served to the generator as a model")
    max_model_len: int = Field(default=4096, gt=0)
    max_num_seqs: int = Field(default=64, gt=0)
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1)
    cpu_kv_cache_gib: float = Field(default=1, gt=0)
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes one a core")
    max_revision_bytes: int = Field(default=4096 * MIB, gt=0)
    disk_cache_bytes: int = Field(default=4096 * MIB, ge=0, description="adapters that left memory, kept on disk")
    drain_seconds: float = Field(default=30, ge=0)


class Settings(BaseSettings):
    """Everything a role reads, from the environment over a TOML file over the defaults."""

    model_config = SettingsConfigDict(
        env_prefix="LIFT_",
        env_nested_delimiter="__",
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    state_dir: Path = Path(".lift")
    node_token: SecretStr = Field(default=SecretStr(""), description="shared by all nodes; proves that a caller is one")
    log: LogSettings = LogSettings()
    catalogue: CatalogueSettings = CatalogueSettings()
    objects: ObjectSettings = ObjectSettings()
    queue: QueueSettings = QueueSettings()
    model: ModelSettings = ModelSettings()
    gateway: GatewaySettings = GatewaySettings()
    generator: GeneratorSettings = GeneratorSettings()
    trainer: TrainerSettings = TrainerSettings()
    engine: EngineSettings = EngineSettings()

    @classmethod
    def read(cls, **chosen: Any) -> Self:
        """The settings of this process, with those that are chosen above all others.

        InvalidOption: a value that cannot be, or a file that is not there or is not TOML.
        """
        file = os.environ.get("LIFT_CONFIG")
        if file and not Path(file).is_file():
            raise InvalidOption(option="LIFT_CONFIG", value=file, problem="no such file")
        try:
            return cls(**chosen)
        except ValidationError as error:
            wrong = error.errors()[0]  # the value is not quoted: it may be a secret
            raise InvalidOption(option=".".join(map(str, wrong["loc"])), problem=wrong["msg"]) from error
        except TOMLDecodeError as error:
            raise InvalidOption(option="LIFT_CONFIG", value=str(file), problem=str(error)) from error

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then the TOML file that LIFT_CONFIG names."""
        file = TomlConfigSettingsSource(settings_cls, os.environ.get("LIFT_CONFIG") or None)
        return init_settings, env_settings, file
