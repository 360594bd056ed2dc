"""Settings of what a service owes those who run it: the sign of life, metrics, the form of the log."""

from __future__ import annotations

import re
from datetime import timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, SecretStr, field_validator, model_validator

from data.settings.endpoint import Endpoint
from data.settings.quantities import Span
from data.settings.strict_settings import StrictSettings


def _checked_loopback(value: object) -> object:
    if not isinstance(value, str):
        return value
    endpoint = Endpoint.parse(value)
    if not endpoint.host or not ip_address(endpoint.host).is_loopback:
        raise ValueError("metrics are served on a loopback address only: write 127.0.0.1:PORT or [::1]:PORT")
    return str(endpoint)


def has_host_and_port(address: str | SplitResult) -> bool:
    """Whether an address names a host, and a port that there is if it names one; library errors show parts of addresses."""
    try:
        parts = urlsplit(address) if isinstance(address, str) else address
        return bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class HeartbeatSettings(StrictSettings):
    """A sign of life at an interval: without it, silence of Tocsin and silence of the world look the same."""

    every: Annotated[Span, Field(ge=timedelta(minutes=1))] = timedelta(hours=1)
    """How often the sign of life is sent; nothing is sent without `channels` and `url`."""
    channels: tuple[str, ...] = ()
    """Names of the channels that get one line: sources fine, late and blind, posts examined, outbox."""
    url: SecretStr | None = None
    """Address of a dead man's switch (healthchecks and others), called while all of the daemon's work succeeds."""
    failing_url: SecretStr | None = None
    """Address that is called in place of `url` while a part of the daemon's work fails; without it, none is called."""
    method: Literal["POST", "GET"] = "POST"
    """The method of these calls; the body of a POST is the line."""
    timeout: Span = timedelta(seconds=15)
    """Total time limit of one call."""

    @model_validator(mode="after")
    def _addresses(self) -> HeartbeatSettings:
        for url in filter(None, (self.url, self.failing_url)):
            # neither the address nor a library's message is shown: whoever knows it can keep the switch quiet
            shown = url.get_secret_value()
            if not re.fullmatch(r"https?://[^\s/]+(/\S*)?", shown) or not has_host_and_port(shown):
                raise ValueError("`url` and `failing_url` must be complete http(s) addresses")
        if self.failing_url and not self.url:
            raise ValueError("`failing_url` needs `url`")
        return self


class MetricsSettings(StrictSettings):
    """Metrics in the text format of Prometheus; none are made without `listen` and `file`."""

    listen: Annotated[str, BeforeValidator(_checked_loopback)] | None = None
    """Loopback address at which metrics are served, `127.0.0.1:9464` for example."""
    file: Path | None = None
    """File that metrics are written to, for the textfile collector of the node exporter; its name ends in `.prom`."""

    @model_validator(mode="after")
    def _named_for_the_collector(self) -> MetricsSettings:
        if self.file is not None and (self.file.suffix != ".prom" or not self.file.is_absolute()):
            raise ValueError("`file` must be an absolute path that ends in .prom: the collector reads no other file")
        return self


class LogSettings(StrictSettings):
    """The log of the daemon and of crawls, on standard error."""

    form: Literal["auto", "json"] = "auto"
    """`json`: JSON lines with the field names of the Elastic Common Schema. `auto`: text."""


class TimeStamps(StrictSettings):
    """Time stamps of the record's head by an authority (RFC 3161), which learns a digest alone."""

    url: str = ""
    """Address of the authority; '' for none. It is asked with HTTP POST."""
    certificates: Path = Path("keys/timestamps.pem")
    """File with the authority's root certificate (PEM), by which stamps are verified; relative to the home."""
    every: Span = timedelta(days=1)
    """How often the daemon has the head stamped, if it has changed."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        if url and not (url.startswith(("http://", "https://")) and has_host_and_port(url)):
            raise ValueError("url must be a complete http(s) address")
        return url
