"""One typed list of settings: `tocsin.toml`, the environment and systemd credentials become a frozen object.

Order, the later one wins: defaults, `tocsin.toml`, `TOCSIN_…` variables (`TOCSIN_CRAWL__TIMEOUT=30`). A value of the
form `cred:NAME` is read from `$CREDENTIALS_DIRECTORY/NAME`, where systemd puts what `LoadCredential=` names.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, ValidationError, model_validator

from data.errors import ConfigError
from data.model import Severity
from data.settings.credentials import read_credential
from data.settings.endpoint import Endpoint
from data.settings.quantities import Size, Span


def _place(value: object) -> object:
    return str(Endpoint.parse(value)) if isinstance(value, str) else value


Place = Annotated[str, BeforeValidator(_place)]


class Strict(BaseModel):
    """Frozen, and every unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class CrawlSettings(Strict):
    """Limits and manners of every crawl; a source file may ask for less, never for more."""

    user_agent: str = "Tocsin (passive leak monitoring)"
    """What we say we are; put a contact address here."""
    timeout: Span = timedelta(seconds=60)
    """Longest wait for one answer."""
    wall: Span = timedelta(minutes=30)
    """Longest crawl; then it is ended and its posts stay due."""
    max_bytes: Size = 64 * 2**30
    """Largest body that is read; a larger one is reported as not examined."""
    max_page: Size = 64 * 2**20
    """Largest page that is read: listings and pages of posts are taken apart in memory."""
    stream_above: Annotated[Size, Field(ge=2**16)] = 4 * 2**20
    """A file above this size is examined while it comes, and never in memory as a whole."""
    early_above: Annotated[Size, Field(ge=2**20)] = 16 * 2**20
    """Of an archive above this size the names, sizes and checksums of its files are looked at before it is fetched."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Requests in flight to one host."""
    rate: Annotated[float, Field(gt=0)] = 10.0
    """Requests a second to one host, at most, where the source says nothing."""
    memory: Size = 2 * 2**30
    """Address space of a crawl process."""


class ExamineSettings(Strict):
    """Limits of one sample."""

    wall: Span = timedelta(minutes=10)
    """Longest reading of one sample."""
    cpu: Span = timedelta(minutes=10)
    """Processor time of one reader."""
    memory: Size = 512 * 2**20
    """Address space of one reader."""
    max_output: Size = 64 * 2**30
    """Decompressed bytes of one sample."""
    max_entries: Annotated[int, Field(ge=1)] = 1_000_000
    """Members of one sample."""
    max_depth: Annotated[int, Field(ge=0, le=64)] = 8
    """Containers inside containers."""
    max_ratio: Annotated[float, Field(ge=1)] = 2000.0
    """Decompressed bytes for one compressed byte, over a whole member, and bytes of all that is inside a member for one of it."""
    exact_rows: Annotated[int, Field(ge=1000)] = 250_000
    """Distinct rows of one crawled sample that are held to be compared; of a larger one a part is, beside all unmatched rows."""


class DaemonSettings(Strict):
    """The clock."""

    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Crawls at the same time."""
    remind_every: Span = timedelta(hours=24)
    """How often a lasting state is told again."""
    deliver_every: Span = timedelta(seconds=5)
    """How often the outbox is looked at."""
    silent_after: Annotated[int, Field(ge=1)] = 2
    """Failed crawls in a row before a source is called silent."""


class TorSettings(Strict):
    """How Tor is reached, and what crawls over it look like to a site."""

    mode: Literal["system", "own", "remote"] = "system"
    """Debian's Tor (`system`), one that Tocsin starts and supervises (`own`), or one elsewhere (`remote`)."""
    socks: Place | None = None
    """`HOST:PORT` or `unix:PATH`; none means `127.0.0.1:9050` (`system`) or the socket of ours (`own`)."""
    control: Place | None = None
    """`HOST:PORT` or `unix:PATH`; none means `unix:/run/tor/control` (`system`), ours (`own`) or no control (`remote`)."""
    password: SecretStr | None = None
    """Of the control port, where it asks for one; else its cookie file is used."""
    program: str = "tor"
    """`own`: the program that is started."""
    torrc: str = ""
    """`own`: a file whose lines are added to Tor's configuration: bridges, for instance."""
    ready: Span = timedelta(minutes=2)
    """Longest wait before a crawl for a Tor that is still connecting to its network."""
    patience: Span = timedelta(seconds=60)
    """Longest wait of a running crawl for a Tor that went away; then its posts stay due."""
    new_circuits_after: Annotated[int, Field(ge=1)] = 3
    """Failures in a row on the circuits of a source before it takes new ones."""
    wall: Literal["auto", "required"] = "auto"
    """`required`: no crawl over Tor where the kernel cannot take the network away from the crawl process."""
    user_agent: str = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"
    """What every crawl over Tor says it is: the Tor Browser's words, so that nothing names the operator."""
    headers: Mapping[str, str] = Field(
        default_factory=lambda: {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.5",
        }
    )
    """Further headers of every request over Tor, the same for all sources."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share by which pauses between requests over Tor are made longer or shorter, at random."""

    @model_validator(mode="after")
    def _complete(self) -> TorSettings:
        if self.mode == "remote" and self.socks is None:
            raise ValueError("mode `remote` needs `socks`")
        if self.mode == "own" and (self.socks or self.control):
            raise ValueError("mode `own` brings its own `socks` and `control`")
        return self


class Channel(Strict):
    """Where alerts go: one table `[channels.NAME]`."""

    kind: Literal["generic", "slack", "matrix"]
    """The dialect."""
    url: SecretStr
    """Webhook address; for Matrix the homeserver's base address."""
    secret: SecretStr | None = None
    """generic: the signing key, `whsec_…` (Standard Webhooks)."""
    unsigned: bool = False
    """generic: send without signature; has to be said."""
    room: str = ""
    """matrix: the room's id, `!…`."""
    token: SecretStr | None = None
    """matrix: the access token of the sending user."""
    timeout: Span = timedelta(seconds=15)
    """Longest whole delivery of one message."""

    @model_validator(mode="after")
    def _complete(self) -> Channel:
        try:
            address = urlsplit(self.url.get_secret_value())
            whole = address.scheme in {"http", "https"} and bool(address.hostname) and address.port != 0
        except ValueError:
            # brackets or a port that are none; its own words would show part of the address
            whole = False
        if not whole:
            raise ValueError("url must be a whole http(s) address")
        if self.kind == "matrix" and not (self.room and self.token):
            raise ValueError("a matrix channel needs `room` and `token`")
        if self.kind == "generic" and not (self.secret or self.unsigned):
            raise ValueError("a generic channel needs `secret` (whsec_…), or `unsigned = true` to go without")
        return self


class Route(Strict):
    """Which events go to which channels; without any route, all of severity warning and above go everywhere."""

    channels: tuple[str, ...]
    """Names of channels."""
    min_severity: Severity = Severity.WARNING
    """Quieter events are not sent."""
    kinds: tuple[str, ...] = ()
    """Event kinds; empty means all."""
    sources: tuple[str, ...] = ()
    """Sources; empty means all."""


class Settings(Strict):
    """Everything that `tocsin.toml` and the environment can say."""

    case: str = ""
    """Name of the case, shown in alerts."""
    link: str = ""
    """Base address under which the team opens local records; empty means the command to type is shown."""
    crawl: CrawlSettings = CrawlSettings()
    examine: ExamineSettings = ExamineSettings()
    daemon: DaemonSettings = DaemonSettings()
    tor: TorSettings = TorSettings()
    channels: Mapping[str, Channel] = Field(default_factory=dict)
    """Where alerts go: a table `[channels.NAME]` each."""
    routes: tuple[Route, ...] = ()
    """Which events go where: an entry `[[routes]]` each."""

    @model_validator(mode="after")
    def _routes_name_channels(self) -> Settings:
        for route in self.routes:
            for name in route.channels:
                if name not in self.channels:
                    raise ValueError(
                        f"a route names the channel '{name}', which is not declared{_nearest(name, self.channels)}"
                    )
        return self


def _nearest(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    """Names that are allowed where an unknown key stood."""
    model: Any = Settings
    for step in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
        if step in model.model_fields:
            kind = model.model_fields[str(step)].annotation
            model = {"channels": Channel, "routes": Route}.get(str(step), kind)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _explain(error: ValidationError, origin: str) -> ConfigError:
    lines = []
    for issue in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in issue["loc"]) or "settings"
        if issue["type"] == "extra_forbidden":
            name = str(issue["loc"][-1])
            lines.append(f"{where}: no such setting{_nearest(name, _fields_at(issue['loc'][:-1]))}")
        else:
            lines.append(f"{where}: {issue['msg'].removeprefix('Value error, ')}")
    return ConfigError(
        f"{origin}: " + "; ".join(lines), hint="correct the setting named above; docs/settings.md lists all of them"
    )


def _merge(base: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in extra.items():
        merged[key] = (
            _merge(merged[key], value) if isinstance(value, Mapping) and isinstance(merged.get(key), dict) else value
        )
    return merged


# Variables that name things other than settings.
_NOT_SETTINGS = {"TOCSIN_HOME", "TOCSIN_MATCH_KEY"}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, value in environ.items():
        if not name.startswith("TOCSIN_") or name in _NOT_SETTINGS:
            continue
        steps = name.removeprefix("TOCSIN_").lower().split("__")
        node = tree
        for step in steps[:-1]:
            node = node.setdefault(step, {})
        node[steps[-1]] = value
    return tree


def _credentials(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _credentials(item, environ) for key, item in value.items()}
    if isinstance(value, list):
        return [_credentials(item, environ) for item in value]
    if isinstance(value, str) and value.startswith("cred:"):
        return read_credential(value.removeprefix("cred:"), environ)
    return value


def load_settings(file: Path, environ: Mapping[str, str]) -> Settings:
    """The settings of one home.

    Raises:
        ConfigError: the file is not TOML, or a setting is unknown or wrong; the message names it and the nearest name.
    """
    try:
        tree: dict[str, Any] = tomllib.loads(file.read_text()) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file.name}: {error}", hint=f"correct {file}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", hint="check its owner and permissions") from error
    tree = _credentials(_merge(tree, _from_environment(environ)), environ)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _explain(error, file.name) from error
