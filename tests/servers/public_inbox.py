"""public-inbox, a real archive of mailing lists (a package of Debian): messages are imported and removed by its own code."""

from __future__ import annotations

import os
import subprocess
from email.message import EmailMessage
from pathlib import Path

import httpx

from tests.servers.base import HOST, ServerProcess, client, debian_program, free_port
from tests.servers.venvs import ServerError

# Its library imports a file of many mails at once; its delivery agent starts a process for each, which takes a second.
_CHANGE = r"""
use strict; use PublicInbox::Config; use PublicInbox::InboxWritable; use PublicInbox::Eml;
my ($what, @files) = @ARGV;
my $inbox = PublicInbox::Config->new($ENV{PI_CONFIG})->lookup_name('leaks');
my $import = PublicInbox::InboxWritable->new($inbox)->importer(0);
for my $file (@files) {
    my $mail = do { open my $in, '<:raw', $file or die $!; local $/; PublicInbox::Eml->new(<$in>) };
    $what eq 'add' ? $import->add($mail) : $import->remove($mail);
}
$import->done;
"""


class PublicInbox:
    """The server; `url` is the page of its list."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.number = folder, 0
        self._environ = {**os.environ, "PI_CONFIG": str(folder / "config"), "HOME": str(folder)}
        port = free_port()
        self.url = f"http://{HOST}:{port}/leaks/"
        program = debian_program("public-inbox-init", "public-inbox")
        self._run(program, "-V2", "-L", "basic", "leaks", str(folder / "leaks"), self.url, "leaks@example.org")
        self.process = ServerProcess(
            "public-inbox",
            [debian_program("public-inbox-httpd", "public-inbox"), "-l", f"http://{HOST}:{port}", "-W0"],
            folder=folder,
            environ={"PI_CONFIG": str(folder / "config"), "HOME": str(folder)},
            ready_url=self.url,
        )

    def _run(self, *command: str) -> None:
        done = subprocess.run(command, env=self._environ, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise ServerError(f"public-inbox: {Path(command[0]).name} failed:\n{done.stderr[-800:]}")

    def mail(
        self, subject: str, text: str, answers: str = "", file: bytes = b"", cte: str = "quoted-printable"
    ) -> Path:
        """Write a mail into a file, that `add` takes; its name is the id of the message."""
        self.number += 1
        made = EmailMessage()
        made["From"], made["To"], made["Subject"] = "poster@example.org", "leaks@example.org", subject
        made["Message-ID"] = f"<m{self.number}@example.org>"
        made["Date"] = (
            f"Sun, 01 Nov 2026 {self.number // 3600:02}:{self.number // 60 % 60:02}:{self.number % 60:02} +0000"
        )
        if answers:
            made["In-Reply-To"] = made["References"] = f"<{answers}>"
        made.set_content(text, cte=cte)
        if file:
            made.add_attachment(file, maintype="application", subtype="zip", filename="lot.zip")
        path = self.folder / f"m{self.number}@example.org"
        path.write_bytes(bytes(made))
        return path

    def add(self, *mails: Path) -> None:
        """Put mails into the archive."""
        self._run(debian_program("perl", "perl"), "-e", _CHANGE, "add", *map(str, mails))

    def remove(self, *mails: Path) -> None:
        """Take mails out of the archive, as its administrator does."""
        self._run(debian_program("perl", "perl"), "-e", _CHANGE, "remove", *map(str, mails))

    def page(self, path: str = "") -> httpx.Response:
        """A page of the list, as any visitor gets it."""
        with client() as web:
            return web.get(self.url + path)

    def stop(self) -> None:
        """End the server."""
        self.process.stop()
