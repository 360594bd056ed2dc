"""Matrix Synapse, a real chat server: users, rooms and what a room holds, through the client API."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from tests.servers.base import HOST, ServerProcess, client, free_port
from tests.servers.venvs import environment

SERVER_NAME = "chat.example"
# tests send in bursts; `limit_messages` narrows one user
FREE = {"per_second": 10000, "burst_count": 10000}


@dataclass(frozen=True)
class User:
    """A registered user with an access token."""

    id: str
    token: str = field(repr=False)


class Synapse:
    """The server; `url` without trailing slash is the homeserver's base address."""

    def __init__(self, folder: Path) -> None:
        python = environment("synapse")
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self._secret = secrets.token_hex(16)
        config = folder / "homeserver.json"
        # YAML reads JSON
        config.write_text(json.dumps(self._config(folder, port)))
        self.process = ServerProcess(
            "synapse",
            [str(python), "-m", "synapse.app.homeserver", "-c", str(config)],
            folder=folder,
            ready_url=f"{self.url}/_matrix/client/versions",
            ready=lambda answer: answer.status_code == 200,
        )
        self._client = client(self.url)
        self._admin: User | None = None

    def _config(self, folder: Path, port: int) -> dict[str, Any]:
        seed = base64.b64encode(secrets.token_bytes(32)).decode().rstrip("=")
        return {
            "server_name": SERVER_NAME,
            "public_baseurl": f"{self.url}/",
            "report_stats": False,
            "listeners": [
                {
                    "port": port,
                    "bind_addresses": [HOST],
                    "type": "http",
                    "tls": False,
                    "resources": [{"names": ["client"]}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": str(folder / "homeserver.db")}},
            "signing_key": f"ed25519 a_test {seed}",
            "registration_shared_secret": self._secret,
            "macaroon_secret_key": secrets.token_hex(16),
            "form_secret": secrets.token_hex(16),
            "media_store_path": str(folder / "media"),
            "pid_file": str(folder / "homeserver.pid"),
            "trusted_key_servers": [],
            "federation_domain_whitelist": [],
            "url_preview_enabled": False,
            "presence": {"enabled": False},
            "rc_message": FREE,
            "rc_registration": FREE,
            "rc_login": {"address": FREE, "account": FREE, "failed_attempts": FREE},
            "rc_joins": {"local": FREE, "remote": FREE},
            "rc_joins_per_room": FREE,
            "rc_invites": {"per_room": FREE, "per_user": FREE, "per_issuer": FREE},
            "rc_room_creation": FREE,
            "rc_admin_redaction": FREE,
        }

    def _ask(self, method: str, path: str, user: User | None = None, body: Any = None, **query: str) -> Any:
        answer = self._client.request(
            method,
            path,
            json=body,
            params=query,
            headers={"Authorization": f"Bearer {user.token}"} if user else {},
        )
        if answer.is_error:
            raise httpx.HTTPStatusError(
                f"{answer.status_code} {answer.text[:200]}", request=answer.request, response=answer
            )
        return answer.json()

    def register(self, name: str, *, admin: bool = False) -> User:
        """A new user, by the shared secret that only its operator knows."""
        nonce = self._ask("GET", "/_synapse/admin/v1/register")["nonce"]
        password = secrets.token_hex(12)
        message = b"\0".join(part.encode() for part in (nonce, name, password, "admin" if admin else "notadmin"))
        made = self._ask(
            "POST",
            "/_synapse/admin/v1/register",
            body={
                "nonce": nonce,
                "username": name,
                "password": password,
                "admin": admin,
                "mac": hmac.new(self._secret.encode(), message, hashlib.sha1).hexdigest(),
            },
        )
        return User(made["user_id"], made["access_token"])

    def create_room(self, owner: User, name: str, *members: User) -> str:
        """A private room that `members` have joined; returns its id."""
        room: str = self._ask(
            "POST",
            "/_matrix/client/v3/createRoom",
            owner,
            {"name": name, "preset": "private_chat", "invite": [member.id for member in members]},
        )["room_id"]
        for member in members:
            self._ask("POST", f"/_matrix/client/v3/rooms/{quote(room, safe='')}/join", member, {})
        return room

    def send(self, user: User, room: str, body: str, *, transaction: str = "") -> str:
        """Send a text message; returns its event id."""
        where = (
            f"/_matrix/client/v3/rooms/{quote(room, safe='')}/send/m.room.message/{transaction or secrets.token_hex(8)}"
        )
        event: str = self._ask("PUT", where, user, {"msgtype": "m.text", "body": body})["event_id"]
        return event

    def read_messages(self, user: User, room: str) -> list[dict[str, Any]]:
        """The room's messages, oldest first, as this user sees them: each with `sender` and `content`."""
        found: list[dict[str, Any]] = []
        start: dict[str, str] = {}
        while True:
            page = self._ask(
                "GET", f"/_matrix/client/v3/rooms/{quote(room, safe='')}/messages", user, dir="f", limit="100", **start
            )
            found += [event for event in page["chunk"] if event["type"] == "m.room.message"]
            if "end" not in page:
                return found
            start = {"from": page["end"]}

    def limit_messages(self, user: User, *, per_second: int, burst: int) -> None:
        """Make the server answer 429 with Retry-After when this user sends faster."""
        if self._admin is None:
            self._admin = self.register(f"operator-{secrets.token_hex(4)}", admin=True)
        self._ask(
            "POST",
            f"/_synapse/admin/v1/users/{quote(user.id, safe='')}/override_ratelimit",
            self._admin,
            {"messages_per_second": per_second, "burst_count": burst},
        )

    def stop(self) -> None:
        self._client.close()
        self.process.stop()
