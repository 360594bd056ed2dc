"""Real sites that hold pastes and files: bepasty, 0bin, dpaste, copyparty, Apache and Caddy."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.servers.base import HOST, ServerProcess, client, debian_program, free_port
from tests.servers.venvs import HERE, ServerError, environment

# 0bin encrypts in the browser: its own copy of SJCL does it here. argv: SJCL's file; standard input: {key, text}.
ENCRYPT = """
const fs = require('fs'), vm = require('vm');
vm.runInThisContext(fs.readFileSync(process.argv[1], 'utf8'));
const given = JSON.parse(fs.readFileSync(0, 'utf8'));
const bits = sjcl.codec.utf8String.toBits(given.text);
process.stdout.write(sjcl.encrypt(given.key, sjcl.codec.base64.fromBits(bits)));
"""


class _Site:
    """A server of the shared environment; `url` without trailing slash."""

    name = ""

    def __init__(self, folder: Path) -> None:
        self.python = environment("sites")
        self.folder = folder
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        # -P: this folder has modules whose names the servers use as well
        self.process = ServerProcess(self.name, self.command(port), folder=folder, ready_url=f"{self.url}/")
        self.web = client(self.url)

    def command(self, port: int) -> list[str]:
        return [str(self.python), "-P", str(HERE / "launch_sites.py"), self.name, str(port), str(self.folder)]

    def stop(self) -> None:
        self.web.close()
        self.process.stop()


class Bepasty(_Site):
    """A pastebin that lists its items."""

    name = "bepasty"

    def post(self, name: str, content: bytes) -> str:
        """Make an item; its id."""
        answer = self.web.post("/+upload", files={"file": (name, content, "text/plain")})
        if answer.status_code != 302:
            raise ServerError(f"bepasty answered {answer.status_code}")
        return re.search(r"/([A-Za-z0-9]+)(?:#|$)", answer.headers["Location"])[1]  # type: ignore[index]

    def remove(self, item: str) -> None:
        """Delete an item."""
        if self.web.post(f"/{item}/+delete").status_code != 302:
            raise ServerError("bepasty did not delete the item")


class Zerobin(_Site):
    """A pastebin whose pastes are encrypted by the browser; it has no list."""

    name = "zerobin"

    def post(self, content: str, key: str) -> str:
        """Make a paste; its link, with the key."""
        where = [str(self.python), "-c", "import zerobin; print(zerobin.__path__[0])"]
        package = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
        sjcl = package / "static" / "js" / "sjcl.js"
        sealed = subprocess.run(
            [debian_program("node", "nodejs"), "-e", ENCRYPT, str(sjcl)],
            input=json.dumps({"key": key, "text": content}), capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        made = self.web.post("/paste/create", data={"content": sealed, "expiration": "1_month"}).json()
        if made["status"] != "ok":
            raise ServerError(f"0bin refused the paste: {made}")
        return f"{self.url}/paste/{made['paste']}#{key}"


class Dpaste(_Site):
    """A pastebin without a list."""

    name = "dpaste"

    def post(self, content: str) -> str:
        """Make a paste; its link."""
        answer = self.web.post("/api/", data={"content": content, "lexer": "_text", "format": "url"})
        answer.raise_for_status()
        return self.url + re.sub(r"^https?://[^/]+", "", answer.text.strip())


class Copyparty(_Site):
    """A file server with a listing of its own; its files are those below `folder / "files"`."""

    name = "copyparty"

    def command(self, port: int) -> list[str]:
        self.files = self.folder / "files"
        self.files.mkdir()
        return [
            str(self.python), "-P", "-m", "copyparty", "-i", HOST, "-p", str(port), "-v", f"{self.files}::r", "-q",
            "--hist", str(self.folder / "hist"), "--no-thumb", "--no-robots",
        ]  # fmt: skip


APACHE = """\
ServerRoot {modules}
PidFile {folder}/apache.pid
ServerName {host}
Listen {host}:{port}
{user}
ErrorLog {folder}/error.log
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule dir_module {modules}/mod_dir.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule autoindex_module {modules}/mod_autoindex.so
TypesConfig /dev/null
DocumentRoot {public}/site
Alias /list/ {public}/files/
Alias /fancy/ {public}/files/
Alias /table/ {public}/files/
<Directory />
  Require all granted
  Options +Indexes
  AllowOverride None
</Directory>
<Location /fancy/>
  IndexOptions FancyIndexing NameWidth=20
</Location>
<Location /table/>
  IndexOptions FancyIndexing HTMLTable VersionSort
</Location>
"""


class Apache:
    """Apache, which lists `files` in its three styles at `/list/`, `/fancy/` and `/table/`."""

    def __init__(self, folder: Path) -> None:
        program = debian_program("apache2", "apache2-bin")
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        # started by root it gives up its privileges, and then could read nothing in the folder of a test
        self._public = Path(tempfile.mkdtemp(prefix="tocsin-apache-"))
        self._public.chmod(0o755)
        self.files = self._public / "files"
        for each in (self.files, self._public / "site"):
            each.mkdir()
        config = folder / "apache.conf"
        user = "User www-data\nGroup www-data" if os.geteuid() == 0 else ""
        config.write_text(
            APACHE.format(
                folder=folder, public=self._public, host=HOST, port=port, user=user, modules="/usr/lib/apache2/modules"
            )
        )
        self.process = ServerProcess(
            "apache", [program, "-f", str(config), "-DFOREGROUND"], folder=folder, ready_url=f"{self.url}/list/"
        )

    def stop(self) -> None:
        self.process.stop()
        shutil.rmtree(self._public)


class Caddy:
    """Caddy, which lists `files`."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.files = folder / "files"
        self.files.mkdir()
        self.process = ServerProcess(
            "caddy",
            [
                debian_program("caddy", "caddy"),
                "file-server",
                "--browse",
                "--root",
                str(self.files),
                "--listen",
                f"{HOST}:{port}",
            ],
            folder=folder,
            ready_url=f"{self.url}/",
            environ={"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder), "HOME": str(folder)},
        )

    def stop(self) -> None:
        self.process.stop()
