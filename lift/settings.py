"""All settings of all roles as one object, read once at start: environment over TOML file over defaults.

`LIFT_GATEWAY__PORT=7000` sets `[gateway] port`; LIFT_CONFIG names the TOML file. `lift config` prints the result with
what each is for, secrets masked.
"""

import os
from pathlib import Path
from tomllib import TOMLDecodeError
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from lift.errors import InvalidOption
from lift.limits import Strategy

PREFIX, NESTED = "LIFT_", "__"
MIB = 1 << 20
LOCAL = "127.0.0.1"

Port: TypeAlias = Annotated[int, Field(ge=0, le=65_535)]
"""0: the system chooses one."""

MetricsHost: TypeAlias = Annotated[
    str, Field(description="where HTTP listens, for Prometheus; empty: nowhere. What it says is of all tenants")
]
MetricsPort: TypeAlias = Annotated[Port, Field(description="of HTTP for Prometheus")]


class Section(BaseModel):
    """One table of the TOML file; unknown names are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class LogSettings(Section):
    """How every role logs, on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(default="INFO", description="the least that is logged")
    json_lines: bool = Field(default=True, description="false: coloured lines for people")


class CatalogueSettings(Section):
    """Where the truth is."""

    url: SecretStr = Field(
        default=SecretStr("sqlite:///lift.sqlite"),
        description="sqlite:///path, or postgresql+psycopg://user:password@host/database",
    )


class ObjectSettings(Section):
    """The S3-compatible store of document bytes, journals and revisions."""

    endpoint: str = Field(default="127.0.0.1:8333", description="host:port, without http://")
    access_key: str = Field(default="lift", description="the store's name for us")
    secret_key: SecretStr = Field(default=SecretStr(""), description="without one the store is asked as anybody")
    bucket: str = Field(default="lift", description="made where there is none")
    region: str = Field(default="us-east-1", description="of the bucket")
    secure: bool = Field(default=False, description="true: https")


class QueueSettings(Section):
    """Celery's broker; it carries wake-ups only."""

    url: SecretStr = Field(
        default=SecretStr("redis://127.0.0.1:6379/0"), description="redis://…, rediss://… or amqp://…"
    )
    name: str = Field(default="lift", description="of the queue, where deployments share a broker")


class ModelSettings(Section):
    """The one base model of a deployment."""

    base_model: str = Field(default="HuggingFaceTB/SmolLM2-135M-Instruct", description="a Hugging Face id or a folder")
    dtype: Literal["auto", "bfloat16", "float32"] = Field(
        default="auto", description="of weights in memory; auto: bfloat16, float32 on CPUs that are slow in it"
    )
    template: Literal["auto", "chatml", "llama3", "gemma", "plain"] = Field(
        default="auto", description="of prompts; auto: by the model's vocabulary"
    )
    max_lora_rank: Annotated[Literal[8, 16, 32, 64, 128, 256], BeforeValidator(int)] = Field(  # a variable holds text
        default=128, description="of any adapter; engines keep room for it"
    )


class GatewaySettings(Section):
    """The front door."""

    host: str = Field(default=LOCAL, description="where gRPC listens, for tenants")
    port: Port = Field(default=7433, description="of gRPC")
    admin_host: str = Field(default=LOCAL, description="where gRPC listens for operators")
    admin_port: Port = Field(default=7434, description="of gRPC for operators")
    http_host: str = Field(default=LOCAL, description="where HTTP listens, for OpenAI clients of tenants")
    http_port: Port = Field(default=7435, description="of HTTP")
    metrics_host: MetricsHost = ""
    metrics_port: MetricsPort = 7439
    operator_key: SecretStr = Field(default=SecretStr(""), description="empty turns administration off")
    max_document_bytes: int = Field(default=16 * MIB, gt=0, description="larger documents are refused")
    max_question_characters: int = Field(default=32_000, gt=0, description="of all turns of a conversation together")
    default_max_tokens: int = Field(default=128, gt=0, description="of an answer, where the question names no limit")
    max_tokens: int = Field(default=2048, gt=0, description="the most that a question may ask for")
    max_concurrent_queries: int = Field(
        default=256, gt=0, description="asked of all engines at once, which get no more than they write at once"
    )
    max_queued_queries: int = Field(default=1024, ge=0, description="of all tenants; more are refused")
    query_timeout_seconds: float = Field(default=120, gt=0, description="for an answer, its wait included")
    node_timeout_seconds: float = Field(
        default=10, gt=0, description="an engine that was silent for longer is asked nothing; trainers read it too"
    )


class GeneratorSettings(Section):
    """Who writes questions, and the OpenAI-compatible endpoint that it asks."""

    host: str = Field(default=LOCAL, description="where it listens")
    port: Port = Field(default=7436, description="of gRPC")
    address: str = Field(default="127.0.0.1:7436", description="where trainers find it")
    metrics_host: MetricsHost = ""
    metrics_port: MetricsPort = 7440
    endpoint: str = Field(default="http://127.0.0.1:8000/v1", description="of the LLM, up to /v1")
    api_key: SecretStr = Field(default=SecretStr(""), description="of the endpoint")
    model: str = Field(default="base", description="of the endpoint")
    writer: str = Field(default="", description="model of the endpoint that was taught to write questions, if any")
    strategy: Strategy = Field(default="sentence", description="where a training names none")
    concurrency: int = Field(default=64, gt=0, description="prompts at the endpoint at once")
    retries: int = Field(default=3, ge=0, description="of a request that fails")
    request_timeout_seconds: float = Field(default=120, gt=0, description="for a reply of the endpoint")
    window_characters: int = Field(default=600, ge=0, description="of the text before a sentence that go with it")


class TrainerSettings(Section):
    """Where jobs are trained."""

    metrics_host: MetricsHost = ""
    metrics_port: MetricsPort = 7441
    profile: str = Field(default="paper", description="hyperparameters, where a training names none")
    device: Literal["auto", "cpu", "cuda"] = Field(default="auto", description="auto: a GPU where there is one")
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
    lease_seconds: float = Field(
        default=20, gt=0, description="a job whose trainer was silent for longer goes to another"
    )
    sweep_seconds: float = Field(default=2, gt=0, description="between looks for jobs that nobody was told of")
    max_attempts: int = Field(default=5, gt=0, description="a job over which so many trainers died fails")
    retry_seconds: float = Field(default=5, gt=0, description="first pause of a job that waits; doubles to 5 minutes")
    publish_timeout_seconds: float = Field(default=120, gt=0, description="for an engine to load a new revision")
    asked_pairs: int = Field(default=64, ge=0, description="pairs that a new revision is asked, to measure it")


class EngineSettings(Section):
    """One vLLM process."""

    node: str = Field(default="engine-1", description="its name in the catalogue; unique, kept over restarts")
    host: str = Field(default=LOCAL, description="where gRPC listens, for gateways and trainers")
    port: Port = Field(default=7437, description="of gRPC")
    address: str = Field(default="127.0.0.1:7437", description="where gateways and trainers find it")
    http_host: str = Field(default=LOCAL, description="where HTTP listens, for a generator")
    http_port: Port = Field(default=7438, description="OpenAI-compatible endpoint of the base model, for the generator")
    metrics_host: MetricsHost = ""
    metrics_port: MetricsPort = 7442
    slots: int = Field(default=32, gt=0, description="adapters held in memory")
    batch_slots: int = Field(default=8, gt=0, description="distinct adapters in one step, on a GPU; a CPU takes all")
    writer: str = Field(default="", description="folder of a question writer, served to the generator as a model")
    max_model_len: int = Field(
        default=4096, gt=0, description="tokens of prompt and answer; less where the model has less"
    )
    max_num_seqs: int = Field(default=64, gt=0, description="answers written at once")
    gpu_memory_utilization: float = Field(default=0.85, gt=0, le=1, description="share of a GPU's memory")
    cpu_kv_cache_gib: float = Field(default=1, gt=0, description="for keys and values, on a CPU")
    threads: int = Field(default=0, ge=0, description="CPU threads; 0 takes one a core")
    max_revision_bytes: int = Field(default=4096 * MIB, gt=0, description="larger revisions are refused")
    disk_cache_bytes: int = Field(default=4096 * MIB, ge=0, description="adapters that left memory, kept on disk")
    drain_seconds: float = Field(
        default=30, ge=0, description="for answers of an adapter that is deleted; they are broken off then"
    )


class Settings(BaseSettings):
    """Everything a role reads, from the environment over a TOML file over the defaults."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter=NESTED,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        nested_model_default_partial_update=True,
    )

    state_dir: Path = Field(
        default=Path(".lift"),
        description="compiled kernels, revisions in use; of `lift up`, which takes --state: everything",
    )
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

        InvalidOption: a name that there is none of, a value that cannot be, a file that is not there or is not TOML.
        """
        _check_variables(cls)
        file = os.environ.get("LIFT_CONFIG")
        if file and not Path(file).is_file():
            raise InvalidOption(option="LIFT_CONFIG", value=file, problem="no such file")
        try:
            return cls(**chosen)
        except ValidationError as error:
            wrong = error.errors()[0]  # the value is not quoted: it may be a secret
            problem = "no such setting" if wrong["type"] == "extra_forbidden" else wrong["msg"]
            raise InvalidOption(option=".".join(map(str, wrong["loc"])), problem=problem) from error
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


def _check_variables(settings: type[Settings]) -> None:
    """InvalidOption: a variable such as LIFT_GATWAY__PORT, which pydantic would pass over."""
    tables = {f"{PREFIX}{name}".upper() for name in settings.model_fields}
    for name in os.environ:
        if name.upper().startswith(PREFIX) and NESTED in name and name.upper().partition(NESTED)[0] not in tables:
            raise InvalidOption(option=name, problem="no such setting")
