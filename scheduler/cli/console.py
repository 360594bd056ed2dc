"""`tocsin console`: serves the web page, and says who may use it."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scheduler.cli.common import emit_json, json_option, pass_home

if TYPE_CHECKING:
    from data.settings.home import Home
    from data.store.store import Store

DEFAULT = "127.0.0.1:8466"
ROLES = ("view", "triage", "admin")
role_option = click.option(
    "--role", type=click.Choice(ROLES), default="view", show_default=True, help="What it may do."
)
origin_option = click.option(
    "--origin",
    "origins",
    multiple=True,
    metavar="URL",
    help="An address under which people reach the console, if a proxy or tunnel leads to it: https://HOST[:PORT].",
)


@click.group(invoke_without_command=True)
@click.option("--listen", "address", default=DEFAULT, show_default=True, metavar="127.0.0.1:PORT")
@click.option(
    "--unix", type=click.Path(path_type=Path, dir_okay=False), metavar="PATH", help="Listen at a Unix socket instead."
)
@origin_option
@click.pass_context
def console(ctx: click.Context, address: str, unix: Path | None, origins: tuple[str, ...]) -> None:
    """Serve a web page for this machine that shows what is watched and found, and takes decisions.

    Prints a link that signs you in once as an administrator. The process that answers holds no key and cannot open one.
    """
    if ctx.invoked_subcommand is None:
        _serve(ctx, address, unix, origins)


def _home(ctx: click.Context) -> Home:
    """The home, without a process that holds the match key: the console needs none."""
    from data.settings.home import Home
    from scheduler.cli.common import chosen_home

    found = chosen_home(ctx).require()
    return Home(found.path, found.environ)


def _serve(ctx: click.Context, address: str, unix: Path | None, origins: tuple[str, ...]) -> None:
    import asyncio
    import getpass
    import importlib.metadata
    import importlib.util
    import sys
    from datetime import UTC, datetime

    from data.errors import ConfigError
    from data.logs import set_up

    missing = [name for name in ("starlette", "jinja2", "uvicorn") if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigError(
            f"the console needs {', '.join(missing)}", hint="install the extra:  pip install 'tocsin[console]'"
        )
    from scheduler.console import access
    from scheduler.console.supervision import ConsoleRunner, listen

    set_up()
    home = _home(ctx)
    origins = tuple(map(_checked_origin, origins))
    if unix is not None and not origins:
        raise ConfigError("a Unix socket is reached through a proxy", hint="say under which address: --origin URL")
    listening = listen(address, unix)
    if unix is None:
        port = listening.getsockname()[1]
        origins = (*origins, *own_origins(address, port))
    with contextlib.closing(_store(home)) as store:
        who = getpass.getuser()
        secret = access.grant(store, who, access.Role.ADMIN, access.Credential.LINK, who, datetime.now(UTC))

    def say_where() -> None:
        click.echo(f"The console listens at {unix or origins[-2]}. Sign in, once and within 15 minutes:")
        click.echo(f"  {origins[0]}/sign-in?link={secret}")
        click.echo("Ctrl-C stops it.")
        sys.stdout.flush()

    asyncio.run(ConsoleRunner(home, listening, origins, importlib.metadata.version("tocsin"), say_where).run())


def own_origins(address: str, port: int) -> tuple[str, str]:
    """The addresses of this machine under which a console is reached that listens at `HOST:PORT`, with the port it got."""
    return f"http://{address.rpartition(':')[0]}:{port}", f"http://localhost:{port}"


def _checked_origin(url: str) -> str:
    from urllib.parse import urlsplit

    from data.errors import InputError
    from data.settings.service_settings import has_host_and_port

    parts = urlsplit(url.rstrip("/"))
    is_site = parts.scheme in {"http", "https"} and not (parts.path or parts.query or "@" in parts.netloc)
    if not is_site or not has_host_and_port(parts):
        raise InputError(f"'{url}' is no address of a site", hint="write https://HOST or https://HOST:PORT")
    return f"{parts.scheme}://{parts.netloc}".lower()


def _store(home: Home) -> Store:
    from data.store.store import Store

    return Store.open(home.db_path)


@console.command()
@click.argument("name")
@role_option
@click.option("--origin", default=f"http://{DEFAULT}", show_default=True, help="Address of the console.")
@pass_home
def invite(home: Home, name: str, role: str, origin: str) -> None:
    """Print a link that signs a person in once, within 15 minutes; all that is done then carries the name."""
    secret = _grant(home, name, role, "link")
    click.echo(f"{_checked_origin(origin)}/sign-in?link={secret}")


@console.command()
@click.argument("name")
@role_option
@pass_home
def token(home: Home, name: str, role: str) -> None:
    """Print a token with which a program reads the JSON and CSV of every page for a year: `Authorization: Bearer …`."""
    click.echo(_grant(home, name, role, "token"))


def _grant(home: Home, name: str, role: str, kind: str) -> str:
    import getpass
    from datetime import UTC, datetime

    from scheduler.console import access
    from scheduler.crawls.keyed_store import open_operator_store

    with contextlib.closing(open_operator_store(home)) as store:
        return access.grant(
            store, name, access.Role(role), access.Credential(kind), getpass.getuser(), datetime.now(UTC)
        )


@console.command()
@json_option
@pass_home
def people(home: Home, as_json: bool) -> None:
    """List who may use the console: links that were not used, tokens and sessions."""
    from datetime import UTC, datetime

    from scheduler.console import access

    with contextlib.closing(_store(home)) as store:
        rows = access.granted(store, datetime.now(UTC))
    if as_json:
        emit_json({"people": rows})
        return
    for row in rows:
        click.echo(f"{row['name']}: {row['kind']} as {row['role']}, until {row['expires'][:16].replace('T', ' ')} UTC")
    if not rows:
        click.echo(
            "nobody; `tocsin console` prints a link for you, `tocsin console invite NAME` one for another person"
        )


@console.command()
@click.argument("name")
@pass_home
def revoke(home: Home, name: str) -> None:
    """Revoke all links, tokens and sessions of a person, at once."""
    import getpass
    from datetime import UTC, datetime

    from scheduler.console import access
    from scheduler.crawls.keyed_store import open_operator_store

    now = datetime.now(UTC)
    with contextlib.closing(open_operator_store(home)) as store:
        access.require_granted(store, name, now)
        count = access.revoke(store, name, getpass.getuser(), now)
    click.echo(f"{count} revoked: {name} is signed out, and must be invited again")
