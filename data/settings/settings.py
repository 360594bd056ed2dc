"""All settings with type, default and help text, read from `tocsin.toml` and the environment into a frozen object.

A `TOCSIN_…` variable (`TOCSIN_CRAWL__TIMEOUT=30`) overrides `tocsin.toml`, and that overrides the default. A value
`cred:NAME` is read from `$CREDENTIALS_DIRECTORY/NAME`, where systemd puts the credentials that `LoadCredential=` names.
"""

from __future__ import annotations

import contextlib
import difflib
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, Field, SecretStr, ValidationError, model_validator

from data.errors import ConfigError
from data.model import EventKind, Severity
from data.settings.credentials import read_credential
from data.settings.endpoint import Endpoint
from data.settings.obligations import OBLIGATIONS, Obligation
from data.settings.permissions import is_special, repair_command, writable_by_others
from data.settings.quantities import Size, Span
from data.settings.quiet_hours import QuietHours, Timezone
from data.settings.service_settings import (
    HeartbeatSettings,
    LogSettings,
    MetricsSettings,
    TimeStamps,
    has_host_and_port,
)
from data.settings.strict_settings import StrictSettings


def _checked_endpoint(value: object) -> object:
    return str(Endpoint.parse(value)) if isinstance(value, str) else value


EndpointText = Annotated[str, BeforeValidator(_checked_endpoint)]


class CrawlSettings(StrictSettings):
    """Limits of every crawl; a source file may lower them, but not raise them."""

    user_agent: str = "Tocsin (passive leak monitoring)"
    """The User-Agent header of direct requests; add a contact address."""
    timeout: Span = timedelta(seconds=60)
    """Longest wait for one answer."""
    wall: Span = timedelta(minutes=30)
    """Total time limit of one crawl. A crawl that reaches it is ended, and its unfinished posts stay due."""
    max_bytes: Size = 64 * 2**30
    """Largest body that is read. A larger one is reported as not examined."""
    max_page: Size = 64 * 2**20
    """Largest page that is read: listings and pages of posts are parsed in memory."""
    stream_above: Annotated[Size, Field(ge=2**16)] = 4 * 2**20
    """A file larger than this is examined while it downloads, and is never held in memory as a whole."""
    early_above: Annotated[Size, Field(ge=2**20)] = 16 * 2**20
    """The file list (names, sizes, checksums) of an archive larger than this is read before the archive is fetched."""
    concurrency: Annotated[int, Field(ge=1, le=64)] = 8
    """Maximum number of simultaneous requests to one host."""
    rate: Annotated[float, Field(gt=0)] = 10.0
    """Maximum number of requests per second to one host, unless the source sets `rate`."""
    memory: Size = 2 * 2**30
    """Memory limit (address space) of one crawl process."""


class ExamineSettings(StrictSettings):
    """Limits of the examination of one sample."""

    wall: Span = timedelta(minutes=10)
    """Total time limit for reading one sample."""
    cpu: Span = timedelta(minutes=10)
    """Limit of the processor time of one reader."""
    memory: Size = 512 * 2**20
    """Memory limit (address space) of one reader."""
    examiner_memory: Size = 8 * 2**30
    """Limit of the memory that the examiner can write to; at most four fifths of the memory of the machine."""
    max_output: Size = 64 * 2**30
    """Maximum number of decompressed bytes of one sample."""
    max_entries: Annotated[int, Field(ge=1)] = 1_000_000
    """Maximum number of members (files in archives) of one sample."""
    max_depth: Annotated[int, Field(ge=0, le=64)] = 8
    """Maximum number of levels of archives or containers within each other."""
    max_ratio: Annotated[float, Field(ge=1)] = 2000.0
    """Highest ratio of decompressed to compressed bytes of a member, also counted over everything inside it."""
    exact_rows: Annotated[int, Field(ge=1000)] = 250_000
    """Distinct rows of a crawled sample that are held at most; of a larger one only a part, and all unmatched rows."""
    keep_seen: Span = timedelta(days=30)
    """How long keyed tags of samples that nothing tied to a client are kept, to compare canaries with them that are enrolled later; 0 keeps none."""
    keep_seen_bytes: Size = 64 * 2**20
    """Total size of these tags, of which the oldest are deleted first; eight bytes a value."""
    bubblewrap: Literal["auto", "required"] = "auto"
    """`required`: examine nothing if readers cannot run inside bubblewrap. `auto` reports that and goes on."""


class DaemonSettings(StrictSettings):
    """What the daemon does, and how often."""

    parallel: Annotated[int, Field(ge=1, le=64)] = 4
    """Crawls that may run at the same time with a process of their own each, and as many again that are repeated because their shared process broke; and ten times as many of light sources, which share processes."""
    cadence: Literal["every", "learned"] = "every"
    """`every`: each source as often as its file says. `learned`: as many requests in all, more to sources that post more."""
    remind_every: Span = timedelta(hours=24)
    """How often a reminder of a lasting state is sent."""
    deliver_every: Span = timedelta(seconds=5)
    """How often the outbox is checked for alerts to deliver."""
    silent_after: Annotated[int, Field(ge=1)] = 2
    """Number of consecutive failed crawls after which a source is reported as silent."""
    lease: Annotated[Span, Field(ge=timedelta(seconds=5))] = timedelta(seconds=60)
    """How long a daemon may make no progress before one that waits with `--standby` ends it and takes over."""
    keep_crawls: Annotated[Span, Field(ge=timedelta(days=1))] = timedelta(days=14)
    """How long ended crawls are kept. The newest ones of each source, and the last that ended well, always are."""
    keep_posts: Annotated[Span, Field(ge=timedelta(days=30))] = timedelta(days=400)
    """How long a post stays known that no crawl sees on a listing any more, and of which nothing was told: neither hits nor events."""


class TriageSettings(StrictSettings):
    """Reminders of critical alerts that nobody has acknowledged."""

    remind_after: Span = timedelta(hours=1)
    """How long a critical alert may stay unacknowledged before one reminder of all of them is sent; 0 sends none."""
    remind_every: Annotated[Span, Field(ge=timedelta(minutes=1))] = timedelta(hours=4)
    """How often the reminder is sent again."""
    escalate_after: Span = timedelta(hours=4)
    """How long a critical alert may stay unacknowledged before the reminder also goes to routes with `escalation`."""


class TorSettings(StrictSettings):
    """How to connect to Tor, and how crawls over Tor appear to a site."""

    mode: Literal["system", "own", "remote"] = "system"
    """`system` uses the Tor service of Debian, `own` one that Tocsin starts and supervises, `remote` one elsewhere."""
    socks: EndpointText | None = None
    """SOCKS port, `HOST:PORT` or `unix:PATH`; default `127.0.0.1:9050` (`system`) or the socket of our own Tor."""
    control: EndpointText | None = None
    """Control port, as `socks`; default `unix:/run/tor/control` (`system`), that of our own Tor, or none (`remote`)."""
    password: SecretStr | None = None
    """Password of the control port. Without it the cookie file of Tor is used."""
    program: str = "tor"
    """`own`: the program to start."""
    torrc: str = ""
    """`own`: a file with further lines for Tor's configuration, for example bridges."""
    ready: Span = timedelta(minutes=2)
    """Longest wait, before a crawl, for Tor to connect to its network."""
    patience: Span = timedelta(seconds=60)
    """Longest wait, during a crawl, for a Tor that stopped. Then the crawl ends, and its posts stay due."""
    new_circuits_after: Annotated[int, Field(ge=1)] = 3
    """Number of consecutive failures after which a source gets new circuits."""
    wall: Literal["auto", "required"] = "auto"
    """`required`: do not crawl over Tor if the kernel cannot cut the crawl process off from the network."""
    user_agent: str = "Mozilla/5.0 (Windows NT 10.0; rv:140.0) Gecko/20100101 Firefox/140.0"
    """The User-Agent header of requests over Tor: that of the Tor Browser, which does not identify the operator."""
    headers: Mapping[str, str] = Field(
        default_factory=lambda: {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Accept-Language": "en-US,en;q=0.5",
        }
    )
    """Further headers of all requests over Tor, the same for all sources."""
    jitter: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Largest share by which each pause between requests over Tor is randomly lengthened or shortened."""

    @model_validator(mode="after")
    def _check_consistency(self) -> TorSettings:
        if self.mode == "remote" and self.socks is None:
            raise ValueError("mode `remote` needs `socks`: the address of that Tor")
        if self.mode == "own" and (self.socks or self.control):
            raise ValueError("mode `own` chooses its own `socks` and `control`: remove them")
        return self


_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_APPRISE_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9]{1,31}://\S")
_MAIL_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)*")
# What each kind of channel needs besides its address.
_NEEDED: Mapping[str, tuple[str, ...]] = {
    "matrix": ("room", "token"),
    "ntfy": ("topic",),
    "pagerduty": ("token",),
    "zulip": ("room", "user", "token"),
    "email": ("sender", "recipients"),
}


class Channel(StrictSettings):
    """A channel for alerts: one table `[channels.NAME]`."""

    kind: Literal[
        "alertmanager",
        "apprise",
        "discord",
        "email",
        "generic",
        "google-chat",
        "matrix",
        "mattermost",
        "ntfy",
        "pagerduty",
        "rocketchat",
        "slack",
        "syslog",
        "teams",
        "zulip",
    ]
    """The kind of receiver, which decides the form of messages."""
    url: SecretStr
    """Address of the webhook; for `alertmanager`, `matrix`, `ntfy` and `zulip` the base address of the server; for `slack` with a `token` `https://slack.com/api`; for `email` of the mail server: `smtp://` (STARTTLS) or `smtps://`; for `syslog` `tls://HOST:PORT` or `tcp://HOST:PORT`; for `apprise` any address of a service that Apprise knows, all of which is secret."""
    secret: SecretStr | None = None
    """`generic`: the signing key, `whsec_…` (Standard Webhooks)."""
    unsigned: bool = False
    """`generic`: set this to true to send without a signature."""
    room: str = ""
    """`matrix`: id of the room, `!…`; `zulip`: name of the channel; `slack` with a `token`: id of the channel, `C…`."""
    topic: str = ""
    """`ntfy`: name of the topic; `zulip`: topic of all messages; if empty, each thread of events has its own."""
    sender: str = ""
    """`email`: address of the sender."""
    recipients: tuple[str, ...] = ()
    """`email`: addresses of the recipients."""
    user: str = ""
    """`zulip`: e-mail address of the bot that sends; `email`: name for the login, if the server asks for one."""
    token: SecretStr | None = None
    """`matrix`: access token of the user who sends; `zulip`: API key of the bot; `email`: password of the login; `pagerduty`: integration key; `ntfy`: access token, if the topic needs one; `alertmanager`: bearer token, if a proxy before it asks for one; `slack`: token of a bot (`xoxb-…`), which can form threads."""
    language: Literal["en", "fr"] = "en"
    """Language of the messages: `en` (English) or `fr` (French)."""
    burst: Annotated[int, Field(ge=0)] = 10
    """If more messages than this are due within ten minutes, the most severe are sent and a digest tells the others; 0 sends all. Not for `alertmanager`, `generic` and `syslog`, which programs read."""
    timeout: Span = timedelta(seconds=15)
    """Total time limit for delivering one message."""
    quiet_hours: QuietHours | None = None
    """`22:00-07:00`: alerts below critical wait until the end of this time of each day."""
    timezone: Timezone = "UTC"
    """The time zone of `quiet_hours`, `Europe/Paris` for example."""
    take_links: bool = False
    """Messages carry a one-time link to the console (`console`) by which whoever reads them acknowledges the alert, without signing in."""

    @model_validator(mode="after")
    def _check_consistency(self) -> Channel:
        schemes = {"email": ("smtp", "smtps"), "syslog": ("tcp", "tls")}.get(self.kind, ("http", "https"))
        if self.kind == "apprise":
            if not _APPRISE_ADDRESS.match(self.url.get_secret_value()):
                raise ValueError("url must be an address of Apprise: SERVICE://…")
            return self
        try:
            address = urlsplit(self.url.get_secret_value())
            complete = address.scheme in schemes and has_host_and_port(address)
        except ValueError:
            # invalid brackets; the library's own message is not used because it shows part of the address
            complete = False
        if not complete:
            form = f"{schemes[0]}:// or {schemes[1]}://" if self.kind == "syslog" else f"{schemes[0]}(s)"
            raise ValueError(f"url must be a complete {form} address")
        if self.kind == "syslog" and (address.path.strip("/") or address.username or address.query):
            raise ValueError("url of a syslog server is tls://HOST:PORT or tcp://HOST:PORT and nothing more")
        if self.kind == "email" and (address.username or address.password):
            raise ValueError("write the login of the mail server as `user` and `token`, not into `url`")
        bad = [each for each in (self.sender, *self.recipients) if each and not _MAIL_ADDRESS.fullmatch(each)]
        if bad:
            raise ValueError("`sender` and `recipients` must be e-mail addresses: name@host")
        needed = ("room",) if self.kind == "slack" and self.token else _NEEDED.get(self.kind, ())
        missing = [name for name in needed if not getattr(self, name)]
        if missing:
            raise ValueError(f"a {self.kind} channel needs {' and '.join(f'`{name}`' for name in missing)}")
        if self.kind == "generic" and not (self.secret or self.unsigned):
            raise ValueError(
                "a generic channel needs `secret` (whsec_…), or `unsigned = true` to send without a signature"
            )
        return self


class Route(StrictSettings):
    """Which events go to which channels. Without routes, events of severity warning or above go to every channel."""

    channels: tuple[str, ...]
    """Names of the channels."""
    min_severity: Severity = Severity.WARNING
    """Lowest severity that is sent."""
    kinds: tuple[EventKind, ...] = ()
    """Kinds of events that are sent; empty means all."""
    sources: tuple[str, ...] = ()
    """Sources whose events are sent; empty means all."""
    incidents: tuple[str, ...] = ()
    """Names of incidents whose events are sent; empty means all."""
    clients: tuple[str, ...] = ()
    """Ids of clients: events that hit one of them are sent; empty means all."""
    escalation: bool = False
    """Only reminders of critical alerts that nobody acknowledged within `triage.escalate_after` are sent."""


class Settings(StrictSettings):
    """All settings that `tocsin.toml` and the environment can give."""

    case: str = ""
    """Name of the case, shown in alerts."""
    link: str = ""
    """Base address of web pages that show events, for links in alerts; without it alerts show a command."""
    console: str = ""
    """Address under which people reach the console, `https://HOST[:PORT]`, as given to `tocsin console --origin`; channels with `take_links` need it."""
    crawl: CrawlSettings = CrawlSettings()
    examine: ExamineSettings = ExamineSettings()
    daemon: DaemonSettings = DaemonSettings()
    timestamps: TimeStamps = TimeStamps()
    heartbeat: HeartbeatSettings = HeartbeatSettings()
    metrics: MetricsSettings = MetricsSettings()
    log: LogSettings = LogSettings()
    tor: TorSettings = TorSettings()
    triage: TriageSettings = TriageSettings()
    channels: Mapping[str, Channel] = Field(default_factory=dict)
    """The channels for alerts, one table `[channels.NAME]` each."""
    routes: tuple[Route, ...] = ()
    """Which events go to which channels, one entry `[[routes]]` each."""
    obligations: tuple[Obligation, ...] = OBLIGATIONS
    """Deadlines of the law that reports count, one entry `[[obligations]]` each; if you give any, none of the defaults holds."""

    @model_validator(mode="after")
    def _routes_name_channels(self) -> Settings:
        named = [("a route", name) for route in self.routes for name in route.channels]
        for what, name in [*named, *(("[heartbeat]", name) for name in self.heartbeat.channels)]:
            if name not in self.channels:
                raise ValueError(
                    f"{what} names the channel '{name}', which does not exist{_did_you_mean(name, self.channels)}"
                )
        is_site = re.fullmatch(r"https?://[^/?#@\s]+", self.console)
        if self.console and not (is_site and has_host_and_port(self.console)):
            raise ValueError("console must be the address of a site and no more: https://HOST or https://HOST:PORT")
        for name, channel in self.channels.items():
            if channel.take_links and not self.console:
                raise ValueError(f"the channel '{name}' has `take_links`, which needs `console`: its address")
        for name in self.heartbeat.channels:
            if (kind := self.channels[name].kind) in {"alertmanager", "pagerduty"}:
                raise ValueError(
                    f"[heartbeat] names the channel '{name}': {kind} would open an incident for each sign of life"
                )
        return self


def _did_you_mean(name: str, known: Any) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean '{close[0]}'?" if close else ""


def _fields_at(path: tuple[str | int, ...]) -> list[str]:
    """The names of settings that are allowed at a path."""
    model: Any = Settings
    for step in path:
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            break
        if step in model.model_fields:
            kind = model.model_fields[str(step)].annotation
            model = {"channels": Channel, "routes": Route, "obligations": Obligation}.get(str(step), kind)
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def _as_config_error(error: ValidationError, origin: str) -> ConfigError:
    lines = []
    for issue in error.errors(include_input=False, include_url=False):
        where = ".".join(str(part) for part in issue["loc"]) or "settings"
        if issue["type"] == "extra_forbidden":
            name = str(issue["loc"][-1])
            lines.append(f"{where}: no such setting{_did_you_mean(name, _fields_at(issue['loc'][:-1]))}")
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


# Variables of Tocsin that are not settings.
_NOT_SETTINGS = {"TOCSIN_HOME", "TOCSIN_MATCH_KEY", "TOCSIN_MATCH_KEY_FD"}


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
        ConfigError: other users may write the file, it is not TOML, or a setting is unknown or invalid. The message names the setting, and for an
            unknown one the most similar name.
    """
    try:
        if file.exists() and writable_by_others(file):
            raise ConfigError(
                f"{file} can be written by other users, who could so decide where alerts go",
                hint=repair_command(file),
            )
        if is_special(file):
            raise ConfigError(f"{file} is not a file", hint="delete it, or restore it from a backup")
        tree: dict[str, Any] = tomllib.loads(file.read_text()) if file.exists() else {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigError(f"{file.name}: {error}", hint=f"correct {file}") from error
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}", hint="check its owner and permissions") from error
    tree = _credentials(_merge(tree, _from_environment(environ)), environ)
    try:
        return Settings.model_validate(tree)
    except ValidationError as error:
        raise _as_config_error(error, file.name) from error


def channel_settings(file: Path, environ: Mapping[str, str]) -> Settings:
    """The defaults, with those channels of a settings file that can be read although `load_settings` refuses the file.

    Each table of the file is read by itself, so that damage elsewhere does not matter, nor does a misspelt name in the table
    of a channel. A file that other users may write gives no channel: they could so decide where alerts go.
    """
    channels: dict[str, Channel] = {}
    try:
        if writable_by_others(file) or is_special(file):
            return Settings()
        text = file.read_text(errors="replace").removeprefix("\ufeff")
        tables = re.split(r"^(?=[ \t]*\[)", text, flags=re.MULTILINE)
    except OSError:
        tables = []
    tree: dict[str, Any] = {}
    for table in tables:
        with contextlib.suppress(tomllib.TOMLDecodeError, RecursionError):
            tree = _merge(tree, {"channels": tomllib.loads(table).get("channels", {})})
    found = _merge(tree, _from_environment(environ)).get("channels")
    for name, value in found.items() if isinstance(found, dict) else ():
        if not isinstance(value, dict):
            continue
        # a name that does not exist decides nothing, and links need the address of the console, which is not read here
        known = {each: value[each] for each in value if each in Channel.model_fields and each != "take_links"}
        with contextlib.suppress(ValidationError, ConfigError):
            channels[name] = Channel.model_validate(_credentials(known, environ))
    return Settings(channels=channels)
