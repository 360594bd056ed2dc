"""FlaskBB, a real forum on Flask: a user logs in and posts through its forms."""

from __future__ import annotations

import re
from pathlib import Path

from tests.servers.base import HOST, ServerProcess, client, free_port
from tests.servers.venvs import HERE, ServerError, environment


class FlaskBB:
    """The server; `listing_url` names the topics of its board, the last active first."""

    def __init__(self, folder: Path) -> None:
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.listing_url = f"{self.url}/forum/1"
        self.process = ServerProcess(
            "flaskbb",
            [str(environment("flaskbb")), "-P", str(HERE / "launch_flaskbb.py"), str(port), str(folder)],
            folder=folder,
            ready_url=self.listing_url,
            ready=lambda answer: answer.status_code == 200,
        )
        # the page that follows a form is not read: making it costs more than the post
        self._client = client(self.url)
        self._send("/auth/login", login="poster", password="poster")

    def _send(self, path: str, **values: str) -> str:
        """Send a form; the address to which the server leads then."""
        answer = self._client.post(path, data=values)
        if answer.status_code != 302:
            raise ServerError(f"flaskbb answered the form at {path} with {answer.status_code}")
        return answer.headers["Location"]

    def post_topic(self, title: str, text: str) -> str:
        """Publish a topic; its id."""
        return re.search(r"/topic/(\d+)", self._send("/1/topic/new", title=title, content=text))[1]  # type: ignore[index]

    def reply(self, topic: str, text: str) -> str:
        """Answer in a topic; the id of the post."""
        return re.search(r"/post/(\d+)", self._send(f"/topic/{topic}/post/new", content=text))[1]  # type: ignore[index]

    def edit(self, post: str, text: str) -> None:
        """Change the text of a post."""
        self._send(f"/post/{post}/edit", content=text)

    def delete(self, topic: str) -> None:
        """Delete a topic with all of its posts."""
        self._send(f"/topic/{topic}/delete")

    def stop(self) -> None:
        self._client.close()
        self.process.stop()
