"""Settings: `assay.toml`, then `ASSAY_<NAME>` in the environment, then flags. This module alone reads the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from datetime import date
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_serializer,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from assay.errors import UsageError
from assay.ingest.stream_address import StreamAddress, is_stream
from assay.store.address import Lake, is_lake

__all__ = ["FILE", "Settings", "is_loopback", "load", "workspace"]

FILE: Final = "assay.toml"

_Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
_Duration = Annotated[str, Field(pattern=r"^(0|[1-9][0-9]*)(s|m|h|d)$")]


def _store(value: Any) -> Any:
    """A file's name as a path, a lake's as it is: in a path, two slashes would become one."""
    return value if is_lake(value) or not isinstance(value, str) else Path(value)


def _log(value: Any) -> Any:
    """A file's name as a path, a stream's address as it is."""
    return value if is_stream(value) or not isinstance(value, str) else Path(value)


_Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+(/\S*)?$")]


class AlertExceptionEntry(BaseModel):
    """One `[[alert_exceptions]]` of `assay.toml`: an alert is muted, or its limit widened, for a reason and a while."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alert: str
    dataset: _Name
    field: str = ""
    source: str = ""
    widen: float | None = None
    mute: bool = False
    reason: str
    until: date

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if self.mute == (self.widen is not None):
            raise ValueError("say either mute = true, or widen = a factor")
        return self


class Settings(BaseSettings):
    """Everything that can be set. Sizes take units (`64MiB`), durations are Prometheus' (`5m`)."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", extra="forbid", frozen=True)

    store: Annotated[Path | str, BeforeValidator(_store)] = Field(
        Path("assay.duckdb"),
        description="The DuckDB file that events end up in; or a lake: `ducklake:postgres:dbname=… host=…`, "
        "`ducklake:sqlite:FILE`.",
    )
    lake_data: str | None = Field(
        None,
        description="The folder of a lake's files, or `s3://bucket/prefix`; by default `<FILE>.files`, beside an SQLite "
        "catalogue.",
    )
    lake_s3_endpoint: _Url | None = Field(None, description="The URL of an S3 that is not Amazon's.")
    lake_s3_region: str | None = Field(None, description="Its region, where the environment does not say.")
    lake_interval: _Duration = Field(
        "2s", description="How far apart a collector's commits to a lake are, unless much waits."
    )
    lake_history: _Duration = Field(
        "7d", description="How long earlier states of a lake can be read; `assay compact` forgets those before."
    )
    log: Annotated[Path | str | None, BeforeValidator(_log)] = Field(
        None,
        repr=False,  # it may have a password in it
        description="The ingest log; by default the store's path with `.log` behind it; of a lake, `lake.log`. Or a stream "
        "of NATS JetStream's: `nats://host:4222,host:4222,host:4222/STREAM?replicas=3`.",
    )
    host: str = Field("127.0.0.1", description="The address that the service listens on, and where commands find it.")
    port: int = Field(8080, ge=1, le=65535, description="Its port.")
    workers: int = Field(1, ge=1, le=64, description="How many processes take events.")
    default_dataset: _Name | None = Field(None, description="The dataset that `POST /collect` means.")
    open_datasets: bool | None = Field(
        None, description="Whether an unknown dataset starts to learn; by default on loopback only."
    )
    extra: Literal["keep", "ignore", "forbid"] = Field(
        "keep", description="Unknown fields: kept in `_extra`, dropped, or refused by contracts learned from now on."
    )
    max_body_bytes: ByteSize = Field(ByteSize(64 << 20), gt=0, description="The largest body that is taken.")
    max_pending_bytes: ByteSize = Field(
        ByteSize(256 << 20), gt=0, description="How much may wait to be logged before requests are put off with 503."
    )
    log_max_bytes: ByteSize = Field(
        ByteSize(4 << 30), gt=0, description="How much the log may hold that is not in its table yet."
    )
    keys_max_bytes: ByteSize = Field(
        ByteSize(1 << 30), gt=0, description="How much idempotency keys may take in the log; the oldest go first."
    )
    learning_max_bytes: ByteSize = Field(
        ByteSize(1 << 30), gt=0, description="How much one dataset may send before it has a contract."
    )
    quarantine_max_age: _Duration = Field(
        "30d", description="How long refused events are kept; `0s`: until they are replayed."
    )
    quarantine_max_bytes: ByteSize = Field(
        ByteSize(10 << 30), ge=0, description="How much of refused events is kept, the oldest go first; `0`: all."
    )
    max_datasets: int = Field(100, ge=1, description="How many datasets may be learning at once.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field((), description="`Host` names taken beside localhost.")
    insecure: bool = Field(False, description="Take events from other machines without a key. Nothing but collect.")
    metrics_key: bool = Field(
        False, description="Whether `GET /metrics` needs a key with the scope `read`, once there is a key."
    )
    api_key: SecretStr | None = Field(
        None, description="The key that commands send to a running service; in the environment, not in a file for git."
    )
    contracts: Path = Field(Path("contracts"), description="The folder of contracts.")
    registry: Literal["folder", "lake"] = Field(
        "folder",
        description="Where it is decided which contracts there are and which are in force: in that folder; or in the lake, for "
        "all collectors at once, and the folder follows.",
    )
    budget: float = Field(1e-5, gt=0, lt=1, description="The share of clean events that numeric bounds may refuse.")
    alert_hold: _Duration = Field("5m", description="How long an alert stays up after its condition has gone.")
    alert_windows: Annotated[tuple[_Duration, ...], NoDecode] = Field(
        ("1m", "5m", "1h"), min_length=1, description="The windows that rules look at."
    )
    alert_exceptions: tuple[AlertExceptionEntry, ...] = Field(
        (), description="Alerts that are muted or widened, each for a reason and until a day; see below."
    )
    prometheus_url: _Url | None = Field(
        None,
        description="The Prometheus that `/ui` asks what fires, and `learn --exclude-alerts` when it did, "
        "such as `http://localhost:9000`.",
    )
    public_url: _Url | None = Field(
        None,
        description="Where people reach the service, such as `https://assay.example`: alerts and dashboards link there.",
    )
    memory_limit: str = Field("1GB", description="What DuckDB may use while it writes.")
    shutdown_s: int = Field(10, ge=1, description="How long a stop waits for requests in flight.")

    #: The folder that relative paths start from.
    root: Path = Field(Path(), exclude=True, description="The workspace.")

    @field_validator("alert_windows", "allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value

    @field_validator("api_key")
    @classmethod
    def _can_be_sent(cls, value: SecretStr | None) -> SecretStr | None:
        text = "" if value is None else value.get_secret_value().strip()
        if not all("!" <= each <= "~" for each in text):
            raise ValueError("a key has no spaces, and no letters beyond ASCII")
        return SecretStr(text) if text else None

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        object.__setattr__(self, "contracts", self._place(self.contracts))
        if isinstance(self.store, Path):
            object.__setattr__(self, "store", self._place(self.store))
        else:
            object.__setattr__(self, "store", str(self.lake))
        if isinstance(self.log, str):
            stream = StreamAddress.parse(self.log, root=self.root)
            if self.workers > 1:
                raise ValueError(
                    f"workers = {self.workers}, and the log is the stream {stream}: a stream has one writer. Set workers = 1, "
                    "and run more collectors, each with a stream of its own"
                )
        else:
            object.__setattr__(self, "log", self._place(self.log) if self.log else self.beside(".log"))
        if self.registry == "lake" and self.lake is None:
            raise ValueError(
                'registry = "lake" needs a lake as the store, such as store = "ducklake:postgres:dbname=…"'
            )
        return self

    @property
    def lake(self) -> Lake | None:
        """The lake that events end up in; None where that is a file."""
        if isinstance(self.store, Path):
            return None
        return Lake.parse(
            self.store,
            data=self.lake_data or "",
            s3_endpoint=self.lake_s3_endpoint or "",
            s3_region=self.lake_s3_region or "",
            root=self.root,
        )

    @property
    def where(self) -> Path | Lake:
        """What `store` names: the file, or the lake."""
        lake = self.lake
        return Path(self.store) if lake is None else lake

    def beside(self, suffix: str) -> Path:
        """A path on this machine, named after the store."""
        store = self.store if isinstance(self.store, Path) else self.root / "lake"
        return store.with_name(store.name + suffix)

    def _place(self, path: Path) -> Path:
        """A path that a person wrote, from the workspace's folder."""
        try:
            return self.root / path.expanduser()
        except RuntimeError as error:  # ~nobody
            raise ValueError(f"{path}: {error}") from error

    @property
    def log_stream(self) -> StreamAddress | None:
        """The stream that is the ingest log; None where it is a file."""
        return StreamAddress.parse(self.log, root=self.root) if isinstance(self.log, str) else None

    @property
    def log_path(self) -> Path:
        """Where the ingest log is; of a stream, its copy on this machine."""
        stream = self.log_stream
        if stream is not None:
            return self.beside(f".{stream.stream}.log")
        assert isinstance(self.log, Path)
        return self.log

    @field_serializer("log")
    def _without_secrets(self, log: Path | str | None) -> Path | str | None:
        """As it may be handed on to where it can be seen."""
        return log if self.log_stream is None else str(self.log_stream)

    @property
    def keys_path(self) -> Path:
        """Where the API keys are known from."""
        return self.beside(".keys")

    @property
    def url(self) -> str:
        """Where a command finds the running service."""
        host = "127.0.0.1" if self.host in {"0.0.0.0", "::"} else self.host  # noqa: S104
        return f"http://[{host}]:{self.port}" if ":" in host else f"http://{host}:{self.port}"

    @property
    def opens_datasets(self) -> bool:
        """Whether an unknown dataset starts to learn."""
        return is_loopback(self.host) if self.open_datasets is None else self.open_datasets

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags beat the environment, which beats the file."""
        del dotenv_settings, file_secret_settings
        toml = TomlConfigSettingsSource(settings_cls, workspace() / FILE)
        return init_settings, env_settings, toml


def workspace() -> Path:
    """The folder of the nearest `assay.toml`, from here upwards; here when there is none. `ASSAY_WORKSPACE` names it.

    Raises:
        UsageError: it names no folder.
    """
    named = os.environ.get("ASSAY_WORKSPACE")
    if named:
        if not Path(named).is_dir():
            raise UsageError(f"ASSAY_WORKSPACE is {named}, which is no folder; name that of an assay.toml, or unset it")
        return Path(named)
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / FILE).is_file()), here)


def load(**flags: Any) -> Settings:
    """The settings that are in force; `flags` are those that were given (None: not given).

    Raises:
        UsageError: one of them is not what it should be; the message names it.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return Settings(root=workspace(), **given)
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:
            raise UsageError(f"settings ({workspace() / FILE}, ASSAY_… or flags): {first['msg']}") from error
        name = str(first["loc"][0])
        if name == "alert_exceptions" and len(first["loc"]) > 1:
            raise UsageError(f"setting {name} ({workspace() / FILE}): {_of_entry(first)}") from error
        where = "flag" if name in given else f"{workspace() / FILE} or ASSAY_{name.upper()}"
        reason = "is no setting; take it out" if first["type"] == "extra_forbidden" else first["msg"]
        raise UsageError(f"setting {name} ({where}): {reason}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{workspace() / FILE}: {error}") from error


def _of_entry(error: Mapping[str, Any]) -> str:
    """What is wrong with one of several tables, and which that is."""
    _, number, *names = error["loc"]
    reason = {"missing": "is missing", "extra_forbidden": "is no key of it; take it out"}
    return f"entry {int(number) + 1}: {'.'.join(map(str, names))} {reason.get(error['type'], error['msg'])}".replace(
        "  ", " "
    )


def is_loopback(host: str) -> bool:
    """Whether an address is this machine's own."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
