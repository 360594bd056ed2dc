"""`tocsin source cookies`: keeps the operator's own cookies for a source. No value of a cookie is ever printed."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import click

from data.plural import counted
from data.settings.home import Home
from scheduler.cli.common import InputPath, note, pass_home
from scheduler.cli.sources.home_sources import find_source


@click.command()
@click.argument("name")
@click.argument("file", type=InputPath(), required=False)
@click.option("--remove", is_flag=True, help="Delete the cookies of the source.")
@pass_home
def cookies(home: Home, name: str, file: Path | None, remove: bool) -> None:
    """Keep your own session for a source: its cookies, from a browser's cookies.txt, a JSON export, or a Cookie header.

    They lie in keys/cookies/, readable by you alone, and are sent to the hosts of this source and to no other. The source
    file needs `cookies: file`. Without FILE the command says which cookies there are.
    """
    from data.durable_files import replace_file
    from data.errors import ConfigError, InputError, SourceError
    from data.sources.cookie_files import MAX_FILE, read_cookies, usable_cookies
    from data.sources.definition import source_hosts
    from scheduler.crawls.definitions import complete_definition

    definition = complete_definition(find_source(home, name))
    path = home.cookies_path(name)
    if remove and file is not None:
        raise InputError("give FILE or --remove, not both")
    if remove:
        path.unlink(missing_ok=True)
        _record(home, "cookies removed", name)
        click.echo(f"{name} has no cookies any more")
        return
    try:
        text = (file or path).read_text("utf-8-sig")[: MAX_FILE + 1]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"there are no cookies for {name}", hint=f"tocsin source cookies {name} FILE") from error
    if len(text) > MAX_FILE:
        raise InputError(f"the file is larger than {MAX_FILE} bytes", hint="export the cookies of this site alone")
    hosts = {host for host, _ in source_hosts(definition)}
    now = datetime.now(UTC)
    found = usable_cookies(read_cookies(text), hosts, now)
    if not found:
        raise InputError(
            f"no cookie in it is for {', '.join(sorted(hosts))}, or all have expired",
            hint="export the cookies while you are logged in on this site",
        )
    if file is not None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(path, [text.encode()])
        except OSError as error:
            raise SourceError(f"cookies cannot be written: {error.strerror}", file=str(path)) from error
        _record(home, "cookies kept", name)
    ends = min((each.expires for each in found if each.expires), default=0)
    until = f"; the first expires on {datetime.fromtimestamp(ends, UTC):%F}" if ends else ""
    names = ", ".join(sorted({each.domain for each in found}))
    click.echo(f"{counted(len(found), 'cookie')} of {name} for {names}{until}")
    if not definition.cookies:
        note(f"they are not used yet: write  cookies: file  into the source file (tocsin source edit {name})")


def _record(home: Home, action: str, name: str) -> None:
    from scheduler.crawls.keyed_store import open_operator_store

    with contextlib.closing(open_operator_store(home)) as store:
        store.audit.record("operator", action, name, datetime.now(UTC))
