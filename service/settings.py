"""Everything an operator can set, read once at start-up.

Sources, strongest first: command-line flags, environment variables `BATCHLENS_*`, the file `batchlens.toml` (or the one that `BATCHLENS_CONFIG` names),
the defaults below. An empty variable is as good as none.
"""

import difflib
import ipaddress
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict, SettingsError, TomlConfigSettingsSource

from service.errors import InvalidSettings
from service.processor import Processor
from service.root_path import parse_root_path

MAX_RESOLUTION = 8192
"""Largest `max_resolution`: of a photo beyond that, decoding is not the problem."""

MEBIBYTE = 1 << 20
_LIKE_A_SETTING = 0.75
Layout = Literal["split/class/**", "class/**", "class/group/**"]
"""How the folders of a dataset are read; `service.sources.layout_detection` decides where the settings do not say."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
"""As browsers write it in `Origin` (RFC 6454)."""

_FRAME_ANCESTOR = re.compile(r"\*|'self'|https?:|(?:https?://)?(?:\*\.)?(?:[a-z0-9_.-]+|\[[0-9a-f:.]+\])(?::(?:[0-9]{1,5}|\*))?")
"""A source of a Content-Security-Policy, without a path."""


class SplitSettings(BaseModel):
    """What one split does by default where a request does not say; unset fields fall back to the service's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: str | None = Field(default=None, description="Recipe: a name or text.")
    batch_size: int | None = Field(default=None, ge=1, description="Samples in a batch.")
    shuffle: bool | None = Field(default=None, description="Whether the order of an epoch is shuffled.")


class DatasetSettings(BaseModel):
    """What one dataset does by default: settings of its own, and under any other name those of the split of that name."""

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, SplitSettings] = Field(init=False)

    max_resolution: int | None = Field(default=None, ge=1, le=MAX_RESOLUTION, description="Shorter side to which larger photos are reduced on decoding.")
    layout: Layout | None = Field(default=None, description="What its folders are; found out if not set.")

    @property
    def splits(self) -> dict[str, SplitSettings]:
        """Settings of splits, by name."""
        return self.__pydantic_extra__


def default_workers() -> int:
    """Counts the processors this process may use, less one for the server, at least one."""
    return max(1, Processor().count() - 1)


class Settings(BaseSettings):
    """The service's settings; frozen, checked at start-up."""

    model_config = SettingsConfigDict(
        env_prefix="BATCHLENS_", env_nested_delimiter="__", env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    paths: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(Path("data"),),
        min_length=1,
        description="Folders to serve: datasets (split/class/file) or folders of datasets; the variable separates them by ':'.",
    )
    allowed_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(), description="Folders that links in a dataset may lead to, besides its own; the variable separates them by ':'."
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        default=LOOPBACK, description="Host names that requests may carry, separated by ','; '*.lab.example' allows subdomains, '*' any."
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Origins of other pages that may read answers and embed pictures (CORS), separated by ','; '*' any. Writes need the token."
    )
    frame_ancestors: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(), description="Pages that may show this one in a frame, separated by ',', as in a Content-Security-Policy: origins, 'self', '*'."
    )
    root_path: str = Field(
        default="", description="Path below which a reverse proxy shows the service, such as /lab/batchlens, if it sends no X-Forwarded-Prefix."
    )
    forwarded_allow_ips: Annotated[tuple[str, ...], NoDecode] = Field(
        default=("127.0.0.1", "::1"), description="Addresses and networks of proxies whose X-Forwarded-* headers count, separated by ','; '*' any."
    )
    token: SecretStr | None = Field(default=None, min_length=8, description="Bearer token that writes (PUT, POST, DELETE) need.")
    device: str = Field(
        default="auto", pattern=r"^(auto|cpu|cuda:\d+)$", description="Device that renders: 'auto' (the first GPU, else the CPU), 'cpu' or 'cuda:N'."
    )
    workers: int = Field(default_factory=default_workers, ge=0, le=256, description="Worker processes of each loader; 0 renders in the server itself.")
    slab_bytes: int = Field(default=512 * MEBIBYTE, ge=MEBIBYTE, description="Shared memory of each loader for rendered batches; less where memory is limited.")
    arena_bytes: int | None = Field(
        default=None,
        ge=0,
        description="Shared memory for decoded photos, of all loaders together; a quarter of the memory if not set, less where it is limited.",
    )
    max_loaders: int = Field(
        default=16,
        ge=1,
        description="Loaders that may be open at once, fewer where memory is limited; for another one, that which has been idle longest is closed.",
    )
    queue_length: int = Field(default=64, ge=1, description="Batches that may wait in each loader before more are refused with 503.")
    deadline_seconds: float = Field(default=30.0, gt=0, le=3600, description="Longest time a batch may take before 504.")
    max_batch_size: int = Field(default=1024, ge=1, description="Largest batch_size a request may ask.")
    max_image_pixels: int = Field(default=50_000_000, ge=1, description="Largest image that is decoded, in pixels; told from its header.")
    max_image_bytes: int = Field(default=64 * MEBIBYTE, ge=1, description="Largest image file that is read.")
    batch_size: int = Field(default=4, ge=1, description="Samples in a batch where a request does not say.")
    shuffle: bool = Field(default=True, description="Whether epochs are shuffled where a request does not say.")
    recipes: dict[str, str] = Field(default_factory=dict, description="Named recipes, in addition to (or instead of) the built-in 'train' and 'val'.")
    datasets: dict[str, DatasetSettings] = Field(
        default_factory=dict, description="Per dataset: layout, max_resolution; per dataset and split: recipe, batch_size, shuffle."
    )
    cache_dir: Path | None = Field(
        default=None, description="Folder that keeps the indices of large datasets; batchlens in $XDG_CACHE_HOME or in ~/.cache where none is named."
    )
    index_cache: bool = Field(default=True, description="Whether a kept index is used, and kept; without, every file is looked at on each start.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least severe messages to log.")

    @field_validator("paths", "allowed_roots", mode="before")
    @classmethod
    def _split_paths(cls, value: object) -> object:
        return tuple(each for each in value.split(os.pathsep) if each) if isinstance(value, str) else value

    @field_validator("allowed_hosts", "allowed_origins", "frame_ancestors", "forwarded_allow_ips", mode="before")
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(each.strip() for each in value.split(",") if each.strip()) if isinstance(value, str) else value

    @field_validator("allowed_roots")
    @classmethod
    def _expand_home(cls, value: tuple[Path, ...]) -> tuple[Path, ...]:
        try:
            return tuple(each.expanduser() for each in value)
        except RuntimeError as exc:  # of a user who is not known
            raise ValueError(str(exc)) from exc

    @field_validator("allowed_origins")
    @classmethod
    def _check_origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        origins = tuple(each.lower().removesuffix("/") for each in value)
        for each in origins:
            if each not in {"*", "null"} and not _ORIGIN.fullmatch(each):
                raise ValueError(f"{each[:100]!r} is no origin; one is scheme://host or scheme://host:port, without a path")
        return origins

    @field_validator("frame_ancestors")
    @classmethod
    def _check_frame_ancestors(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        sources = tuple(each.lower().removesuffix("/") for each in value)
        for each in sources:
            if not _FRAME_ANCESTOR.fullmatch(each):
                raise ValueError(f"{each[:100]!r} is no source of a Content-Security-Policy; one is an origin, 'self' in quotes, or *")
        return sources

    @field_validator("root_path")
    @classmethod
    def _check_root_path(cls, value: str) -> str:
        return parse_root_path(value)

    @field_validator("forwarded_allow_ips")
    @classmethod
    def _check_forwarded_allow_ips(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for each in value:
            if each != "*":
                ipaddress.ip_network(each)
        if "*" in value and len(value) > 1:
            raise ValueError("'*' stands alone")
        return value

    @model_validator(mode="after")
    def _fit_together(self) -> "Settings":
        sizes = {"batch_size": self.batch_size}
        for dataset, own in self.datasets.items():
            sizes |= {f"datasets.{dataset}.{name}.batch_size": split.batch_size for name, split in own.splits.items() if split.batch_size is not None}
        for name, size in sizes.items():
            if size > self.max_batch_size:
                raise ValueError(f"{_name(name)}: {size} is above {_name('max_batch_size')}, which is {self.max_batch_size}")
        return self

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the service."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name; one like 127.example.org says nothing about where it leads
            return self.host.lower() == "localhost"

    @property
    def layouts(self) -> dict[str, Layout]:
        """Layouts of datasets, by name, where one is set."""
        return {name: own.layout for name, own in self.datasets.items() if own.layout is not None}

    @property
    def index_folder(self) -> Path | None:
        """Where indices are kept; None for nowhere."""
        if not self.index_cache:
            return None
        try:
            return self.cache_dir.expanduser() if self.cache_dir else _user_cache() / "batchlens"
        except RuntimeError:  # a user without a home
            return None

    def for_dataset(self, dataset: str) -> DatasetSettings:
        """Gives a dataset's own defaults; empty where none are configured."""
        return self.datasets.get(dataset, DatasetSettings())

    def for_split(self, dataset: str, split: str) -> SplitSettings:
        """Gives a split's own defaults; empty where none are configured."""
        return self.for_dataset(dataset).splits.get(split, SplitSettings())

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  pydantic-settings calls with all of them
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Adds the TOML file behind flags and environment; leaves `.env` and secret files out."""
        return init_settings, env_settings, _read_file(settings_cls)


def read_settings(**flags: Any) -> Settings:  # noqa: ANN401  values are checked by pydantic
    """Reads the settings from flags, environment and file.

    Args:
        **flags: settings given on the command line; None means not given.

    Raises:
        InvalidSettings: names each bad field, its source variable and what is allowed.
    """
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except SettingsError as exc:
        field = re.search(r'field "(\w+)"', str(exc))
        raise InvalidSettings(f"Bad settings: {_name(field[1]) if field else exc}: Input should be valid JSON") from exc
    except ValidationError as exc:
        raise InvalidSettings("Bad settings: " + "; ".join(_explain(error) for error in exc.errors(include_url=False))) from exc


def misspelt_variables() -> dict[str, str]:
    """Return variables that are no settings and are called almost like one, each with that one.

    Others begin with BATCHLENS_ as well: Kubernetes sets BATCHLENS_SERVICE_HOST for a service of that name.
    """
    prefix, known = "BATCHLENS_", [name.upper() for name in Settings.model_fields]
    found = {}
    for variable in sorted(os.environ):
        name = variable.upper().removeprefix(prefix).partition("__")[0]
        close = difflib.get_close_matches(name, known, n=1, cutoff=_LIKE_A_SETTING)
        if variable.upper().startswith(prefix) and name not in {*known, "CONFIG"} and close:
            found[variable] = prefix + close[0]
    return found


def _user_cache() -> Path:
    """Gives the user's cache folder (XDG Base Directory Specification, which says that relative paths do not count)."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return named if named.is_absolute() else Path.home() / ".cache"


def _read_file(settings_cls: type[BaseSettings]) -> TomlConfigSettingsSource:
    named = os.environ.get("BATCHLENS_CONFIG")
    path = Path(named or "batchlens.toml").expanduser()
    if named and (path.is_dir() or not os.access(path, os.R_OK)):
        raise InvalidSettings(f"Bad settings: there is no file {named} that can be read (BATCHLENS_CONFIG).")
    try:
        return TomlConfigSettingsSource(settings_cls, path)
    except (OSError, ValueError) as exc:
        raise InvalidSettings(f"Bad settings: {path} cannot be read: {exc}") from exc


def _explain(error: ErrorDetails) -> str:
    """Names a bad setting, says what is allowed and quotes the value; never that of the token, nor one whose meaning is unknown."""
    where, message = error["loc"], error["msg"].removeprefix("Value error, ")
    if not where:
        return message
    if error["type"] == "extra_forbidden":
        return f"{'.'.join(map(str, where))}: There is no such setting{_suggest(where)}"
    if error["type"] == "model_type" and where[0] == "datasets" and len(where) == 3:  # Any other name there is that of a split.
        return f"{_name('.'.join(map(str, where)))}: There is no such setting{_suggest(where) or ', and settings of a split are a table'}"
    quoted = "" if where[0] == "token" or error["type"] == "too_short" else f", not {str(error['input'])[:100]!r}"
    return f"{_name('.'.join(map(str, where)))}: {message}{quoted}"


def _suggest(where: tuple[int | str, ...]) -> str:
    """Returns the closest name of a setting at that place, as a question; nothing if none is close."""
    models: dict[int, type[BaseModel]] = {1: Settings, 3: DatasetSettings, 4: SplitSettings}
    known = models[len(where)].model_fields if len(where) in models else ()
    close = difflib.get_close_matches(str(where[-1]).lower(), known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def _name(field: str) -> str:
    """Names a setting and its variable; a list has one variable for all of its parts."""
    variable = re.sub(r"\.\d+$", "", field).replace(".", "__").upper()
    return f"{field} (BATCHLENS_{variable})"
