"""pinnwand, a real pastebin: posts through its own interface; it has no public list."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.servers.base import HOST, ServerProcess, client, free_port
from tests.servers.venvs import HERE, environment


@dataclass(frozen=True)
class Paste:
    """A paste; `url` is its page, `raw` its bytes, `removal` takes it down."""

    slug: str
    url: str
    raw: str
    removal: str


class Pinnwand:
    """The server; `url` without trailing slash."""

    def __init__(self, folder: Path) -> None:
        python = environment("pinnwand")
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        # -P: this folder has a pinnwand.py of its own
        self.process = ServerProcess(
            "pinnwand",
            [str(python), "-P", str(HERE / "launch_pinnwand.py"), str(port), str(folder / "pastes.db")],
            folder=folder,
            ready_url=f"{self.url}/about",
        )
        self._client = client(self.url)

    def post(self, name: str, content: str, *, expiry: str = "1week") -> Paste:
        """Make a paste of one file."""
        answer = self._client.post(
            "/api/v1/paste", json={"expiry": expiry, "files": [{"lexer": "text", "name": name, "content": content}]}
        )
        answer.raise_for_status()
        link, removal = answer.json()["link"], answer.json()["removal"]
        slug = urlsplit(link).path.strip("/")
        return Paste(slug, link, f"{self.url}/raw/{slug}", removal)

    def remove(self, paste: Paste) -> None:
        """Take a paste down."""
        self._client.get(paste.removal, follow_redirects=True).raise_for_status()

    def stop(self) -> None:
        self._client.close()
        self.process.stop()
