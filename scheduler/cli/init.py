"""`tocsin init`: creates a home folder with keys, settings and an example source."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from scheduler.cli.common import chosen_home

SETTINGS = """\
# Settings of this Tocsin home. Every setting and its default: docs/settings.md. Unknown names are refused.
case = ""            # a name for the case, shown in alerts

[crawl]
user_agent = "Tocsin (passive leak monitoring; contact: security@your-team.example)"

# Where alerts go. Without routes every alert of severity warning or critical goes to every channel.
# [channels.team]
# kind = "slack"                 # or teams, discord, matrix, generic (signed JSON), …: see docs/alerts.md
# url = "https://hooks.slack.example/…"      # or "cred:NAME" for a systemd credential
"""

EXAMPLE = """\
# An example source, disabled. Copy it, change it, then run: tocsin source check NAME
name: example
platform: feed
url: https://forum.example/new-threads.rss
via: direct
every: 15m
enabled: false
"""


@click.command()
@click.argument("folder", type=click.Path(path_type=Path), required=False, metavar="[DIR]")
@click.pass_context
def init(ctx: click.Context, folder: Path | None) -> None:
    """Create a home folder: match key, enrolment key, evidence key pair, settings, an example source."""
    from data.case import evidence
    from data.errors import HomeError
    from data.hashing.case_keys import MatchKey, format_enrol_key, format_match_key
    from data.settings.home import Home

    home = Home(folder, os.environ) if folder is not None else chosen_home(ctx)
    if home.path.exists() and (not home.path.is_dir() or any(home.path.iterdir())):
        raise HomeError(
            f"{home.path} exists and is not an empty folder; nothing was changed",
            hint="name a new folder:  tocsin init DIR",
        )
    old = os.umask(0o077)
    try:
        home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        home.path.chmod(0o700)
        for part in (home.sources_dir, home.keys_dir, home.watchlist_dir, home.releases_dir, home.evidence_dir):
            part.mkdir(mode=0o700)
        match = MatchKey(secrets.token_bytes(32))
        private, public = evidence.new_identity()
        _write(home.match_key_path, format_match_key(match))
        _write(home.enrol_key_path, format_enrol_key(match.derive()))
        _write(home.evidence_key_path, public + "\n")
        _write(home.keys_dir / "evidence.key", private + "\n")
        _write(home.sources_dir / "example.yaml", EXAMPLE)
        # written last: a folder with settings counts as a home, which an interrupted init must not
        _write(home.config_path, SETTINGS)
    except OSError as error:
        raise HomeError(f"{home.path} cannot be created: {error.strerror}", hint="choose another folder") from error
    finally:
        os.umask(old)
    click.echo(f"""\
Created the home folder {home.path}  (case {match.derive().case})

Do this with the keys, now:
  {home.keys_dir / "evidence.key"}
      the private half of the evidence key. Tocsin never needs it: move it to where only your team reads it.
      `age -d -i evidence.key FILE` opens sealed evidence with it.
  {home.match_key_path}
      every tag of this case is made with it. Back it up off this machine; without it all tags are useless.
      While it lies here, whoever may write this home can forge its record: better give it as a systemd credential.
  {home.enrol_key_path}
      give it to the clients who enrol their data, over a channel you trust. It makes tags: whoever has it and the tags can
      test guesses.

Next:
  tocsin --home {home.path} doctor
  tocsin --home {home.path} canary generate --client practice-1 --count 50 --out people.csv
  tocsin --home {home.path} source add my-source.yaml
  tocsin --home {home.path} crawl my-source
  tocsin --home {home.path} daemon""")


def _write(path: Path, text: str) -> None:
    """Create a file that only its owner can read; it is on disk when this returns."""
    from data.durable_files import new_file

    with new_file(path) as stream:
        stream.write(text.encode())
