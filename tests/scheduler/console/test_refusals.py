"""What other sites, other hosts, strangers and people without the right are refused; nothing of it changes anything."""

from __future__ import annotations

import pytest

from scheduler.console.guard import MAX_BODY
from tests.scheduler.console.conftest import ADDRESS

pytestmark = pytest.mark.slow

SAME = {"origin": ADDRESS, "sec-fetch-site": "same-origin"}
DECIDE, LIST = "/alerts/decide", "/alerts"
# name: method, path, headers, who, expected status
ATTEMPTS = {
    # DNS rebinding, and other names of this machine
    "rebinding": ("GET", "/", {"host": "evil.example"}, "admin", 421),
    "rebinding with our port": ("GET", "/", {"host": "evil.example:8466"}, "admin", 421),
    "rebinding of a decision": ("POST", DECIDE, {**SAME, "host": "evil.example:8466"}, "admin", 421),
    "our address as a part of the host": ("GET", "/", {"host": "127.0.0.1:8466.evil.example"}, "admin", 421),
    "a name before ours": ("GET", "/", {"host": "evil.127.0.0.1:8466"}, "admin", 421),
    "another port": ("GET", "/", {"host": "127.0.0.1:80"}, "admin", 421),
    "no port": ("GET", "/", {"host": "127.0.0.1"}, "admin", 421),
    "all addresses": ("GET", "/", {"host": "0.0.0.0:8466"}, "admin", 421),
    "a number for the address": ("GET", "/", {"host": "2130706433:8466"}, "admin", 421),
    "an empty host": ("GET", "/", {"host": ""}, "admin", 421),
    "a user in the host": ("GET", "/", {"host": "admin@127.0.0.1:8466"}, "admin", 421),
    "the sign-in page under another name": ("GET", "/sign-in", {"host": "evil.example"}, "", 421),
    "static files under another name": ("GET", "/static/console.js", {"host": "evil.example"}, "", 421),
    # what a page of another site makes a browser send
    "cross-site form": ("POST", DECIDE, {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, "admin", 403),
    "cross-site form, old browser": ("POST", DECIDE, {"origin": "https://evil.example"}, "admin", 403),
    "another port is another site": ("POST", DECIDE, {"origin": "http://127.0.0.1:9000", "sec-fetch-site": "same-site"}, "admin", 403),
    "same-site alone": ("POST", DECIDE, {"sec-fetch-site": "same-site"}, "admin", 403),
    "https is another origin": ("POST", DECIDE, {"origin": "https://127.0.0.1:8466"}, "admin", 403),
    "localhost is another origin here": ("POST", DECIDE, {"origin": "http://localhost:8466"}, "admin", 403),
    "an origin that begins as ours": ("POST", DECIDE, {"origin": f"{ADDRESS}.evil.example"}, "admin", 403),
    "sandboxed frame": ("POST", DECIDE, {"origin": "null", "sec-fetch-site": "cross-site"}, "admin", 403),
    "sandboxed frame, old browser": ("POST", DECIDE, {"origin": "null"}, "admin", 403),
    "a cookie without a word of its page": ("POST", DECIDE, {}, "admin", 403),
    "same-origin claimed with a foreign origin": ("POST", DECIDE, {"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, "admin", 403),
    "an unknown value of Sec-Fetch-Site": ("POST", DECIDE, {"sec-fetch-site": "nonsense"}, "admin", 403),
    "cross-site sign-in": ("POST", "/sign-in", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, "", 403),
    "cross-site sign-out": ("POST", "/sign-out", {"sec-fetch-site": "cross-site"}, "admin", 403),
    "cross-site script": ("GET", "/now.json", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "script"}, "admin", 403),
    "cross-site fetch": ("GET", "/alerts.json", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "origin": "https://evil.example"}, "admin", 403),
    "same-site fetch from another port": ("GET", "/alerts.json", {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, "admin", 403),
    "a frame of another site": ("GET", "/", {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "iframe"}, "admin", 403),
    # methods and forms
    "preflight": ("OPTIONS", DECIDE, {"origin": "https://evil.example", "access-control-request-method": "POST"}, "admin", 405),
    "PUT": ("PUT", DECIDE, SAME, "admin", 405),
    "DELETE": ("DELETE", LIST, SAME, "admin", 405),
    "TRACE": ("TRACE", "/", {}, "admin", 405),
    "deciding by GET": ("GET", f"{DECIDE}.json", {}, "admin", 404),
    "signing out by GET": ("GET", "/sign-out", {}, "admin", 405),
    "a form that is too large": ("POST", DECIDE, {**SAME, "content": "x" * (MAX_BODY + 1)}, "admin", 413),
    "a length that is no number": ("POST", DECIDE, {**SAME, "content-length": "-5"}, "admin", 413),
    "an address that is too long": ("GET", f"/alerts?q={'a' * 5000}", {}, "admin", 414),
    # nobody, or not anybody any more
    "nobody reads now": ("GET", "/", {}, "", 401),
    "nobody reads JSON": ("GET", "/alerts.json", {}, "", 401),
    "nobody reads CSV": ("GET", "/incidents.csv", {}, "", 401),
    "nobody decides": ("POST", DECIDE, SAME, "", 401),
    "nobody adds a source": ("POST", "/sources/+add", SAME, "", 401),
    "nobody finds out which pages there are": ("GET", "/no-such-page", {}, "", 401),
    "a cookie that is made up": ("GET", "/", {"cookie": "tocsin_console=aaaa"}, "", 401),
    "an empty cookie": ("GET", "/", {"cookie": "tocsin_console="}, "", 401),
    "a token that is made up": ("GET", "/alerts.json", {"authorization": "Bearer aaaa"}, "", 401),
    "a made-up token beside a good cookie": ("GET", "/alerts.json", {"authorization": "Bearer aaaa"}, "admin", 401),
    "another scheme": ("GET", "/alerts.json", {"authorization": "Basic cm9vdDpyb290"}, "admin", 401),
    "a link that is made up": ("POST", "/sign-in", {**SAME, "content": "link=aaaa"}, "", 403),
    "no link": ("POST", "/sign-in", SAME, "", 403),
    "a link that is made up, to take an alert on": ("POST", "/take", {**SAME, "content": "link=aaaa&name=eve"}, "", 403),
    "a look with such a link": ("GET", "/take?link=aaaa", {}, "", 403),
    "cross-site taking": ("POST", "/take", {"origin": "https://evil.example", "sec-fetch-site": "cross-site"}, "", 403),
    # people whose role is not enough
    "view decides": ("POST", DECIDE, SAME, "view", 403),
    "view retries": ("POST", "/delivery/retry", SAME, "view", 403),
    "view looks at an address": ("POST", "/sources/+look", SAME, "view", 403),
    "view opens the form for a source": ("GET", "/sources/+new", {}, "view", 403),
    "triage adds a source": ("POST", "/sources/+add", SAME, "triage", 403),
    "triage invites": ("POST", "/about/invite", {**SAME, "content": "name=eve&role=admin"}, "triage", 403),
    "triage revokes": ("POST", "/about/revoke", {**SAME, "content": "name=admin"}, "triage", 403),
    "triage checks the installation": ("POST", "/about/check", SAME, "triage", 403),
    # what leads out of the console
    "a file above the static ones": ("GET", "/static/..%2fguard.py", {}, "admin", 404),
    "a file beside the static ones": ("GET", "/static/guard.py", {}, "admin", 404),
    "a role that does not exist": ("POST", "/about/invite", {**SAME, "content": "name=eve&role=root"}, "admin", 400),
    "a name that is none": ("POST", "/about/invite", {**SAME, "content": "name=%3Cscript%3E&role=view"}, "admin", 400),
    "no decision": ("POST", DECIDE, {**SAME, "content": "event=00000000"}, "admin", 400),
    "an event that does not exist": ("POST", DECIDE, {**SAME, "content": "event=ffffffffffff&do=ack"}, "admin", 400),
    "a snooze beyond all calendars": ("POST", DECIDE, {**SAME, "content": "event=ffffffffffff&do=snooze&until=9999999999d"}, "triage", 400),
    "a snooze to the end of the calendar": ("POST", DECIDE, {**SAME, "content": "event=ffffffffffff&do=snooze&until=9999-12-31T23:59-14:00"}, "triage", 400),
    "retrying what is no alert": ("POST", "/delivery/retry", {**SAME, "content": "alert=x"}, "triage", 400),
    "looking at a file": ("POST", "/sources/+look", {**SAME, "content": "url=file:///etc/passwd"}, "admin", 400),
    "looking at an option": ("POST", "/sources/+look", {**SAME, "content": "url=--from=http://x/"}, "admin", 400),
    "looking at an address with a NUL": ("POST", "/sources/+look", {**SAME, "content": "url=http://x/%00"}, "admin", 400),
    "looking at half an address": ("POST", "/sources/+look", {**SAME, "content": "url=http://["}, "admin", 400),
    "the beginning of every id": ("POST", DECIDE, {**SAME, "content": "event=&do=ack"}, "admin", 400),
}  # fmt: skip


@pytest.fixture(scope="module")
def people(site):
    return {role: site.client(role) for role in ("", "view", "triage", "admin")}


def decisions(site):
    with site.store() as store:
        return store.database.rows("select count(*) as audits from audit"), store.database.rows("select * from triage")


@pytest.mark.parametrize("name", ATTEMPTS)
def test_the_attempt_is_refused_and_changes_nothing(site, people, name):
    method, path, headers, who, status = ATTEMPTS[name]
    headers = {"content-type": "application/x-www-form-urlencoded", **headers}
    content = headers.pop("content", None)
    before = decisions(site)
    answer = people[who].request(method, path, headers=headers, content=content)
    assert answer.status_code == status, answer.text
    assert decisions(site) == before
    # refusals are protected as pages are, and tell nothing of the home
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert "Further release" not in answer.text
    assert "Client data published" not in answer.text
    assert "practice-" not in answer.text
    if status == 401 and "authorization" in headers:
        assert answer.headers["www-authenticate"].startswith("Bearer")


def test_the_table_has_at_least_forty_attempts():
    assert len(ATTEMPTS) >= 40


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:8466"])
def test_the_printed_address_is_the_one_at_which_the_console_listens(address):
    from scheduler.cli.console import own_origins

    host = address.rpartition(":")[0]
    assert own_origins(address, 8466) == (f"http://{host}:8466", "http://localhost:8466")


def test_two_hosts_are_no_host(site):
    """A client that sends two; the guard is asked, because a library may join them."""
    from starlette.datastructures import Headers

    from scheduler.console.guard import refusal_of

    headers = Headers(raw=[(b"host", b"127.0.0.1:8466"), (b"host", b"evil.example")])
    refusal = refusal_of("GET", "/", headers, (ADDRESS,))
    assert refusal is not None
    assert refusal.status == 421


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": ADDRESS, "sec-fetch-site": "same-origin"},
        {"origin": ADDRESS},
        {"sec-fetch-site": "none"},
        {"origin": "null", "sec-fetch-site": "same-origin"},
    ],
)
def test_a_form_of_our_own_pages_is_taken(people, headers):
    """The counterpart of the table: it is the header that refuses, not the request."""
    headers = {"content-type": "application/x-www-form-urlencoded", **headers}
    answer = people["triage"].post(DECIDE, headers=headers, content="event=ffffffffffff&do=ack")
    assert answer.status_code == 400


def test_a_link_signs_in_once_and_a_revoked_person_is_out_at_once(site):
    link = site.secret("view", "link")
    client = site.client()
    signed = client.post("/sign-in", data={"link": link}, headers=SAME)
    assert signed.status_code == 303
    cookie = signed.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert link not in cookie
    assert client.get("/").status_code == 200
    assert site.client().post("/sign-in", data={"link": link}, headers=SAME).status_code == 403
    # a link is no session and no token, a session no token, a token no session
    session, token = site.secret("view"), site.secret("view", "token")
    for wrong in (link, session):
        assert site.client().get("/now.json", headers={"authorization": f"Bearer {wrong}"}).status_code == 401
    assert site.client().get("/now.json", headers={"authorization": f"Bearer {token}"}).status_code == 200
    assert site.client().get("/", headers={"cookie": f"tocsin_console={token}"}).status_code == 401
    admin = site.client("admin")
    assert admin.post("/about/revoke", data={"name": "view"}, headers=SAME).status_code == 303
    assert client.get("/").status_code == 401
    assert site.client().get("/now.json", headers={"authorization": f"Bearer {token}"}).status_code == 401
    with site.store() as store:
        said = [(row["actor"], row["action"]) for row in store.database.rows("select actor, action from audit")]
        assert ("view", "signed in") in said
        assert ("admin", "console revoked") in said
        assert store.audit.verify() == []


def test_the_database_keeps_no_secret(site):
    secrets = [site.secret("view"), site.secret("view", "token"), site.secret("view", "link")]
    with site.store() as store:
        kept = str(store.database.rows("select * from console_access")) + str(
            store.database.rows("select * from audit")
        )
    assert not any(secret in kept for secret in secrets)


@pytest.mark.parametrize(
    "back", ["//evil.example", "/\\evil.example", "https://evil.example/", "javascript:alert(1)", "/a\nb", "//[x"]
)
def test_a_form_never_leads_away(site, back):
    with site.store() as store:
        event = store.events.latest(limit=1)[0].id
    answer = site.client("triage").post(
        DECIDE, data={"event": event, "do": "assign", "owner": "ana", "back": back}, headers=SAME
    )
    assert answer.headers["location"].startswith("/alerts?")


@pytest.mark.parametrize(
    "path", ["/", "/alerts", "/incidents/the-breach", "/sources", "/releases", "/delivery", "/about"]
)
def test_a_page_names_no_other_site_and_runs_nothing_of_its_own(people, path):
    import re

    text = people["admin"].get(path).text
    nonce = people["admin"].get(path).headers["content-security-policy"]
    assert not re.search(r"""(?:href|src|action)=["'](?!/|#)""", text)
    assert not re.search(r"<[^>]+ (?:on\w+|style)=", text)
    assert ".onion" not in text.replace("[.]onion", "")
    assert text.count("<script") == 1
    # each page has a nonce of its own
    assert nonce != people["admin"].get(path).headers["content-security-policy"]


def test_the_time_left_counts_from_when_somebody_became_aware(site):
    """Without an entry it counts from the first alert; both say so."""
    from datetime import UTC, datetime, timedelta

    from scheduler.reports.clocks import enter_aware
    from scheduler.reports.incident_scope import IncidentScope

    client = site.client("view")

    def first():
        return next(each for each in client.get("/now.json").json()["incidents"] if each["id"] == "the-breach")

    assert first()["counted_since"] == "first alert"
    assert 69 < first()["hours_left"] <= 70.1
    now = datetime.now(UTC)
    with site.store() as store:
        enter_aware(store, IncidentScope.of_home(site.home, "the-breach"), now - timedelta(hours=50), "ana", now)
    console = site.application.state.console
    console.forget()
    assert first()["counted_since"] == "aware"
    assert 21 < first()["hours_left"] < 22.5


def test_whoever_asks_the_starting_process_gets_an_answer_even_if_nothing_can_be_started(tmp_path):
    """A NUL in an argument; without an answer the page waits five minutes."""
    import asyncio
    import json
    import socket

    from data.settings.home import Home
    from scheduler.console.supervision import ConsoleRunner

    async def ask() -> bytes:
        ours, theirs = socket.socketpair()
        _, writer = await asyncio.open_connection(sock=theirs)
        with ours, socket.socket() as unused:
            runner = ConsoleRunner(Home(tmp_path, environ={}), unused, (ADDRESS,), "0.1.0")
            await runner._do({"number": 7, "do": "look", "address": "http://x/\x00"}, writer)
            writer.close()
            return ours.recv(4096)

    answer = json.loads(asyncio.run(ask()))
    assert answer["number"] == 7
    assert "could not be run" in answer["error"]


def test_what_contacts_a_host_or_runs_a_command_is_in_the_audit_chain_before_it_happens(site):
    """Here nobody answers for the starting process, so that neither succeeds; who asked is recorded all the same."""
    client = site.client("admin")
    assert (
        client.post("/sources/+look", data={"url": "http://board.example/x?secret=1"}, headers=SAME).status_code == 422
    )
    assert client.post("/about/check", headers=SAME).status_code == 400
    with site.store() as store:
        rows = store.database.rows("select actor, action, detail from audit order by rowid desc limit 2")
    assert [(row["actor"], row["action"], row["detail"]) for row in rows] == [
        ("admin", "checked installation", ""),
        ("admin", "looked at host", "board[.]example"),
    ]
