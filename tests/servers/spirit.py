"""Spirit, a real forum on Django: a user registers, is activated by mail, logs in and posts, all through its forms."""

from __future__ import annotations

import re
import secrets
import subprocess
import time
from pathlib import Path

import httpx
from parsel import Selector

from tests.servers.base import HOST, ServerProcess, client, free_port
from tests.servers.venvs import ServerError, environment

SETTINGS = """\
from forum.settings.base import *

SECRET_KEY = {secret!r}
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {folder!r} + "/forum.db"}}}}
_MEMORY = {{"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
CACHES = {{"default": _MEMORY, "st_rate_limit": {{**_MEMORY, "LOCATION": "limits", "TIMEOUT": None}}}}
# one topic in ten seconds is for people
ST_RATELIMIT_ENABLE = False
ST_SITE_URL = {url!r}
EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
EMAIL_FILE_PATH = {folder!r} + "/mail"
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
"""


class Spirit:
    """The server; `listing_url` names its topics, the last active first."""

    def __init__(self, folder: Path) -> None:
        self._python = environment("spirit")
        self.folder = folder
        port = free_port()
        self.url = f"http://{HOST}:{port}"
        self.listing_url = f"{self.url}/topic/active/"
        self._make()
        self.process = ServerProcess(
            "spirit",
            [str(self._python), "manage.py", "runserver", "--noreload", "--insecure", f"{HOST}:{port}"],
            folder=folder,
            cwd=folder / "site",
            environ={"DJANGO_SETTINGS_MODULE": "forum.settings.local"},
            ready_url=self.listing_url,
            ready=lambda answer: answer.status_code == 200,
        )
        self._client = client(self.url, follow_redirects=True)
        self._enter("poster", secrets.token_hex(12))

    def _make(self) -> None:
        site = self.folder / "site"
        site.mkdir()
        where = [
            str(self._python), "-c", "import spirit, pathlib; print(pathlib.Path(spirit.__file__).parent)"
        ]  # fmt: skip
        package = Path(subprocess.run(where, capture_output=True, text=True, check=True).stdout.strip())
        template = package / "extra" / "project_template"
        self._run("-m", "django", "startproject", f"--template={template}", "forum", str(site))
        settings = SETTINGS.format(secret=secrets.token_hex(24), folder=str(self.folder), url=f"{self.url}/")
        (site / "forum" / "settings" / "local.py").write_text(settings)
        self._run("manage.py", "migrate", "--settings=forum.settings.local", cwd=site)

    def _run(self, *arguments: str, cwd: Path | None = None) -> None:
        done = subprocess.run(
            [str(self._python), *arguments],
            cwd=cwd or self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )
        if done.returncode:
            raise ServerError(f"spirit: {arguments[1]} failed:\n" + "\n".join(done.stdout.splitlines()[-15:]))

    def _submit(self, path: str, **values: str) -> httpx.Response:
        """Fill in the form of a page as a browser would, hidden fields and token included, and send it."""
        page = self._client.get(path)
        page.raise_for_status()
        field_name = next(iter(values))
        form = Selector(page.text).css(f"form:has(input[name=csrfmiddlewaretoken]):has([name={field_name}])")
        hidden = {field.attrib["name"]: field.attrib.get("value", "") for field in form.css("input[type=hidden][name]")}
        answer = self._client.post(path, data={**hidden, **values}, headers={"Referer": f"{self.url}{path}"})
        answer.raise_for_status()
        errors = Selector(answer.text).css(".errorlist ::text, .form__field-error ::text, .is-error ::text").getall()
        if errors:
            raise ServerError(f"spirit refused the form at {path}: {' '.join(errors)}")
        return answer

    def _enter(self, name: str, password: str) -> None:
        mail = f"{name}@forum.example"
        self._submit("/user/register/", username=name, email=mail, email2=mail, password=password)
        link = self._activation_link()
        self._client.get(link).raise_for_status()
        self._submit("/user/login/", username=name, password=password)
        if "sessionid" not in self._client.cookies:
            raise ServerError("spirit: the new user could not log in")

    def _activation_link(self) -> str:
        for _ in range(100):
            for file in sorted((self.folder / "mail").glob("*.log")):
                if found := re.search(r"(/user/activation/\S+)", file.read_text()):
                    return found[1]
            time.sleep(0.05)
        raise ServerError("spirit sent no activation mail")

    def post_topic(self, title: str, text: str) -> str:
        """Publish a topic; returns its address. Spirit's Markdown changes hard lines: that is part of the test."""
        page = Selector(self._client.get("/topic/publish/").text)
        category = page.xpath("//select[@name='category']/option[@value!='']/@value").get()
        if category is None:
            raise ServerError("spirit offers no category to post in")
        answer = self._submit("/topic/publish/", title=title, category=category, comment=text)
        if not re.search(r"/topic/\d+/", answer.url.path):
            raise ServerError(f"spirit did not publish the topic; it answered with {answer.url.path}")
        return str(answer.url)

    def reply(self, topic: str, text: str) -> str:
        """Answer in a topic; returns the id of the comment."""
        number = re.search(r"/topic/(\d+)/", topic)
        answer = self._submit(f"/comment/{number[1] if number else ''}/publish/", comment=text)
        found = (re.search(r"/comment/(\d+)/find/", str(step.url)) for step in answer.history)
        for made in filter(None, found):
            return made[1]
        raise ServerError(f"spirit did not publish the comment; it answered with {answer.url.path}")

    def edit(self, comment: str, text: str) -> None:
        """Change the text of a comment."""
        self._submit(f"/comment/{comment}/update/", comment=text)

    def stop(self) -> None:
        self._client.close()
        self.process.stop()
