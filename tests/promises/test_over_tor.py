"""Sources over Tor from end to end: hits and an alert, the report and end of each failure, separate circuits."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import subprocess
import tarfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from crawler.tor import control_port, tor_process
from crawler.tor.tor_process import TorProcess
from crawler.transport.tls import pin_of
from data.errors import ConfigError
from data.model import EventKind
from data.plural import counted
from data.settings.endpoint import Endpoint
from data.settings.home import Home
from data.sources.source_files import load_source
from scheduler.crawls.definitions import complete_definition
from scheduler.daemon.daemon import Daemon
from scheduler.daemon.home_lock import HeldLock
from scheduler.reports.tor_report import checks
from tests.command import TOCSIN, environment, must, tocsin, tocsin_json
from tests.over_tor import LISTING, Site, Watch, port_of, watching
from tests.servers.base import free_port
from tests.servers.tls_site import TlsSite
from tests.servers.tor_network import Tor, wait_for
from tests.servers.webhook import Webhook
from tests.whole.fault_world import opened_world

pytestmark = [pytest.mark.slow, pytest.mark.servers]

OTHER_PIN = "sha256/" + base64.b64encode(bytes(32)).decode()


@pytest.fixture(scope="module")
def watch(tmp_path_factory, tor_network):
    with watching(tmp_path_factory.mktemp("over-tor")) as made:
        made.configure(tor_network.client.folder)
        yield made


@pytest.fixture
def site():
    made = Site()
    yield made
    made.stop()


def key_file(watch: Watch, source: str, host: str, private: bytes) -> None:
    path = watch.home.onion_key_path(source)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    text = base64.b32encode(private).decode().rstrip("=")
    path.write_text(f"{host.removesuffix('.onion')}:descriptor:x25519:{text}\n")
    path.chmod(0o600)


def client_key() -> tuple[bytes, str]:
    """A private key, and its public key in the form that a service is configured with."""
    made = X25519PrivateKey.generate()
    return made.private_bytes_raw(), base64.b32encode(made.public_key().public_bytes_raw()).decode().rstrip("=")


# --- failures ----------------------------------------------------------------------------------------------------


def test_each_kind_of_failure_has_its_own_message_its_event_and_its_recovery(watch, tor_network, site):
    """Eight reasons why a site over Tor cannot be reached, each of them fixed afterwards."""
    watch.configure(tor_network.client.folder)
    site.posts("/a")
    good = tor_network.publish(site.port)
    unpublished = tor_network.publish(site.port, wait=False)
    tor_network.withdraw(unpublished)
    private, public = client_key()
    wrong, _ = client_key()
    locked = tor_network.publish(site.port, client=public)
    mistaken = tor_network.publish(site.port, client=public)
    key_file(watch, "mistaken", mistaken.host, wrong)
    empty = free_port()
    broken = tor_network.publish(empty)
    typo = good.host[:-7] + ("a" if good.host[-7] != "a" else "b") + ".onion"
    slow = Site()
    slow.posts("/a")
    late = tor_network.publish(slow.port)
    places = {
        "typo": (f"http://{typo}/", "onion-bad-address"),
        "unpublished": (f"{unpublished.url}/", "onion-not-found"),
        "locked": (f"{locked.url}/", "onion-key-missing"),
        "mistaken": (f"{mistaken.url}/", "onion-key-wrong"),
        "closed": (f"{good.url}:81/", "tor-refused"),
        "broken": (f"{broken.url}/", "tor-general-failure"),
        "nameless": (f"http://nobody.invalid:{site.port}/", "tor-host-unreachable"),
        "late": (f"{late.url}/", "timeout"),
    }
    # The slow site is crawled once before, so that the time for building circuits does not count as its slowness.
    watch.source("late", LISTING, url=places["late"][0])
    assert [result.state for result in watch.crawl_with_retries("late")] == ["done"]
    slow.hold.clear()
    for name, (url, _) in places.items():
        watch.source(name, LISTING + ("timeout: 5s\n" if name == "late" else ""), url=url)
    results = {result.source: result for result in watch.crawl(*places)}
    for name, (_, code) in places.items():
        assert results[name].state == "failed", name
        assert results[name].error, name
        assert watch.states(name) == {EventKind.SOURCE_SILENT: code}, (name, results[name].error)
    assert len({result.error for result in results.values()}) == len(places), "each has a message of its own"

    # After the fix each state ends with an event.
    tor_network.publish(site.port, key=unpublished.key)
    key_file(watch, "locked", locked.host, private)
    key_file(watch, "mistaken", mistaken.host, private)
    watch.source("typo", LISTING, url=f"{good.url}/")
    watch.source("closed", LISTING, url=f"{good.url}/")
    watch.source("nameless", LISTING, url=f"http://somebody.test:{site.port}/")
    slow.hold.set()
    back = Site()
    back.posts("/a")
    with socket.create_server(("127.0.0.1", empty)) as relay:
        threading.Thread(target=forward, args=(relay, back.port), daemon=True).start()
        # Tor asks a directory for the same descriptor only once in a while; a fresh client has not asked yet.
        fresh = tor_network.another_client("fresh")
        fresh.start()
        wait_for("the client", fresh.bootstrapped, 20)
        watch.configure(fresh.folder)
        # Descriptors that were published just now have not reached every directory yet.
        results = {result.source: result for result in watch.crawl_with_retries(*places)}
    for name in places:
        assert results[name].state == "done", (name, results[name].error)
        assert watch.states(name) == {}
        assert watch.events(name, EventKind.RECOVERED), name
    fresh.stop()
    back.stop()
    slow.stop()


def forward(server: socket.socket, port: int) -> None:
    """Forward a few connections of a listening socket to another port."""

    def one(incoming: socket.socket) -> None:
        with incoming, socket.create_connection(("127.0.0.1", port)) as outgoing:
            for source, target in ((incoming, outgoing), (outgoing, incoming)):
                threading.Thread(target=pump, args=(source, target), daemon=True).start()
            time.sleep(20)

    while True:
        try:
            incoming, _ = server.accept()
        except OSError:
            return
        threading.Thread(target=one, args=(incoming,), daemon=True).start()


def pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        # The other direction closed the connection.
        return


def test_an_absent_frozen_or_wrong_tor_is_one_state_for_all_sources(watch, tor_network, site, tmp_path):
    site.posts("/a")
    onion = tor_network.publish(site.port)
    for name in ("one", "two"):
        watch.source(name, LISTING, url=f"{onion.url}/")
    own = tor_network.another_client("fragile")
    own.folder.mkdir(exist_ok=True)
    watch.configure(own.folder, patience="1s", timeout="15s", extra='ready = "20s"\n')

    def down(words: str) -> None:
        results = watch.crawl("one", "two")
        assert [result.state for result in results] == ["failed", "failed"]
        assert all(words in result.error for result in results), results
        assert watch.states("") == {EventKind.TOR_DOWN: watch.states("")[EventKind.TOR_DOWN]}
        assert not {EventKind.SOURCE_SILENT} & set(watch.states("one")), (
            "a failure of Tor is not reported as one of the source"
        )
        assert site.asked == [], "no direct connection was made instead"

    def up() -> None:
        results = watch.crawl_with_retries("one", "two")
        assert [result.state for result in results] == ["done", "done"], (results, own.tail())
        assert watch.states("") == {}
        site.asked.clear()

    before = len(watch.store.events.latest(kind="tor_down"))
    down("is not running")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(own.socks))
        server.listen()
        threading.Thread(target=answer_http, args=(server,), daemon=True).start()
        down("not a SOCKS port")
    own.socks.unlink()
    own.start()
    wait_for("the client", own.bootstrapped, 20)
    up()
    assert own.process is not None
    os.kill(own.process.pid, signal.SIGSTOP)
    down("frozen")
    os.kill(own.process.pid, signal.SIGCONT)
    up()
    own.kill()
    down("is not running")
    assert len(watch.store.events.latest(kind="tor_down")) - before == 3, "one event per outage, whatever its reasons"
    own.start()
    wait_for("the client", own.bootstrapped, 20)
    up()
    own.stop()


def answer_http(server: socket.socket) -> None:
    while True:
        try:
            incoming, _ = server.accept()
        except OSError:
            return
        with incoming:
            incoming.recv(100)
            incoming.sendall(b"HTTP/1.0 501 Tor is not an HTTP Proxy\r\n\r\n")


def test_a_crawl_waits_for_a_tor_that_restarts(watch, tor_network, site):
    site.posts(*(f"/post/{number}" for number in range(120)))
    onion = tor_network.publish(site.port)
    fragile = tor_network.another_client("restarted")
    fragile.start()
    wait_for("the client", fragile.bootstrapped, 20)
    watch.configure(fragile.folder, concurrency=4)
    watch.source("restart", LISTING, url=f"{onion.url}/")

    async def crash() -> None:
        while len(site.asked) < 40:
            await asyncio.sleep(0.01)
        fragile.kill()
        await asyncio.sleep(2)
        fragile.start()

    async def both():
        crashing = asyncio.ensure_future(crash())
        [result] = await watch.crawl_now("restart")
        await crashing
        return result

    result = asyncio.run(both())
    fragile.stop()
    assert (result.state, result.examined, result.unexamined) == ("done", 120, 0), result
    assert set(site.paths()) == {"/", *(f"/post/{number}" for number in range(120))}


def test_posts_stay_due_if_tor_ends_during_a_crawl(watch, tor_network, site):
    site.posts(*(f"/post/{number}" for number in range(60)))
    onion = tor_network.publish(site.port)
    fragile = tor_network.another_client("dying")
    fragile.start()
    wait_for("the client", fragile.bootstrapped, 20)
    watch.configure(fragile.folder, concurrency=2, patience="1s")
    watch.source("dying", LISTING, url=f"{onion.url}/")

    async def both():
        crawling = asyncio.ensure_future(watch.crawl_now("dying"))
        while len(site.asked) < 20:
            await asyncio.sleep(0.01)
        fragile.kill()
        return (await crawling)[0]

    result = asyncio.run(both())
    assert result.state == "failed"
    assert EventKind.TOR_DOWN in watch.states("")
    assert result.examined < 60
    fragile.start()
    wait_for("the client", fragile.bootstrapped, 20)
    examined = result.examined
    for _ in range(4):
        [again] = watch.crawl("dying")
        examined += again.examined
        if again.state == "done":
            break
    fragile.stop()
    assert again.state == "done", again
    assert examined == 60, "no post is lost or examined twice"
    assert watch.states("") == {}


# --- circuits ----------------------------------------------------------------------------------------------------


def test_each_source_has_circuits_of_its_own_until_they_are_renewed(watch, tor_network, site):
    """The circuits are read from Tor itself, through its control port."""
    site.posts("/a")
    watch.configure(tor_network.client.folder)
    for name in ("alpha", "beta"):
        watch.source(name, LISTING, url=f"http://{name}.test:{site.port}/")
    watch.source("gamma", LISTING + "circuits: crawl\n", url=f"http://gamma.test:{site.port}/")
    control = Endpoint(path=str(tor_network.client.control))

    def used(name: str) -> set[str]:
        return {each.id for each in control_port.read_circuits(control) if each.user.split(":")[0] == name}

    def crawl() -> tuple[set[str], set[str], set[str]]:
        assert [result.state for result in watch.crawl_with_retries("alpha", "beta", "gamma")] == ["done"] * 3
        return used("alpha"), used("beta"), used("gamma")

    alpha, beta, gamma = crawl()
    assert alpha
    assert beta
    assert not alpha & beta
    again = crawl()
    assert again[0] >= alpha, "kept"
    assert again[1] >= beta, "kept"
    assert not again[0] & again[1]
    assert again[2] - gamma, "`circuits: crawl` gets new ones with each crawl"
    output = must(watch.home.path, "source", "renew", "alpha")
    assert f"{counted(len(again[0]), 'circuit')} of alpha closed" in output
    renewed = crawl()
    assert not renewed[0] & again[0], "renewed"
    assert renewed[1] >= beta, "and those of the other source are kept"


# --- from end to end ---------------------------------------------------------------------------------------------


def test_every_crawl_over_tor_sends_the_same_headers(watch, tor_network, site):
    site.posts("/a", head='<script src="/s.js"></script>')
    site.answers["/a"] = site.answers["/b"] = (200, {"Set-Cookie": "known=1", "ETag": '"x"'}, b"text")
    more = b"onload = () => document.querySelector('ul').insertAdjacentHTML('beforeend', '<li><a href=/b>b</a></li>')"
    site.answers["/s.js"] = (200, {"Content-Type": "text/javascript"}, more)
    watch.configure(tor_network.client.folder)
    onion = tor_network.publish(site.port)
    for name, render, listed in (("face-one", "", 1), ("face-two", "", 1), ("face-three", "render: browser\n", 2)):
        watch.source(name, LISTING + render, url=f"{onion.url}/")
        [result] = watch.crawl_with_retries(name)
        assert (result.state, result.listed) == ("done", listed), result
    assert site.paths().count("/s.js") >= 1, "what a page asks for goes over Tor as well"
    all_headers = {tuple(headers.items()) for _, headers in site.asked}
    assert len(all_headers) == 1, all_headers
    sent = dict(next(iter(all_headers)))
    assert set(sent) == {"host", "accept", "accept-language", "user-agent", "accept-encoding", "connection"} - {
        name for name in ("connection",) if name not in sent
    }
    assert "Firefox" in sent["user-agent"]


def _codes_until_certificate(watch) -> list[str]:
    """The codes of crawls until one is refused for the certificate; a small network sometimes builds no circuit."""
    codes: list[str] = []
    while len(codes) < 5 and "certificate" not in codes:
        codes += [result.code for result in watch.crawl("secret")]
    return codes


def test_an_https_site_is_read_over_tor_once_its_certificate_is_accepted_and_asked_nothing_before(
    watch, tor_network, tmp_path
):
    feed = "platform: feed\nurl: {url}/feed\nvia: tor\nrobots: {{ignore: a test}}\n"
    watch.configure(tor_network.client.folder)
    with TlsSite(tmp_path, host="somebody.test") as tls:
        tls.url = f"https://somebody.test:{tls.port}"
        watch.source("secret", feed, url=tls.url)
        assert _codes_until_certificate(watch)[-1] == "certificate"
        assert tls.received == [], "nothing is sent to a site with a certificate that is refused"
        pin = f"tls: {{{{pin: {pin_of(tls.certificate)}}}}}\n"
        watch.source("secret", feed + pin, url=tls.url)
        [result] = watch.crawl_with_retries("secret")
        assert (result.state, result.examined) == ("done", 1), result
        assert {"/feed", "/1"} <= set(tls.received)
        # the key of another site, at the same address
        watch.source("secret", feed + f"tls: {{{{pin: {OTHER_PIN}}}}}\n", url=tls.url)
        tls.received.clear()
        assert _codes_until_certificate(watch)[-1] == "certificate"
        assert tls.received == []


def test_mirrors_are_tried_in_turn(watch, tor_network, site):
    site.posts("/a")
    dead = tor_network.publish(site.port, wait=False)
    tor_network.withdraw(dead)
    alive = tor_network.publish(site.port)
    watch.configure(tor_network.client.folder, timeout="20s")
    watch.source("mirrored", LISTING + f"hosts: ['{dead.url}', '{alive.url}']\n", url="'{host}/'")
    [result] = watch.crawl_with_retries("mirrored")
    assert (result.state, result.examined) == ("done", 1), result


def test_an_onion_key_is_in_no_message_and_a_damaged_one_is_named_by_its_line(watch, tor_network, site):
    onion = tor_network.publish(site.port)
    watch.configure(tor_network.client.folder)
    watch.source("keyed", LISTING, url=f"{onion.url}/")
    path = watch.home.onion_key_path("keyed")
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text("# a comment\nSECRETSECRETSECRET\n")
    path.chmod(0o600)
    [result] = watch.crawl("keyed")
    path.unlink()
    assert result.state == "failed"
    assert "keyed.auth_private:2" in result.error
    assert "SECRET" not in result.error + result.hint


def test_an_onion_key_can_be_added_again_and_replaced(tor_network, site):
    control = Endpoint(path=str(tor_network.client.control))
    host = tor_network.publish(site.port, wait=False).host
    for _ in range(2):
        key, _ = client_key()
        for _ in range(2):
            # Tor answers 250 the first time and 251 from then on.
            control_port.add_onion_keys(control, None, [control_port.OnionKey(host.removesuffix(".onion"), key)])


def test_our_own_tor_is_started_used_and_ended(tmp_path, tor_network, site):
    site.posts("/a", "/b")
    onion = tor_network.publish(site.port)
    home = tmp_path / "home"
    must(None, "init", home)
    lines = tmp_path / "private-network"
    # it cannot connect before it was told that it is connecting, however fast the machine is
    lines.write_text(tor_network.torrc_for_own() + "ReachableAddresses reject *:*\n")
    (home / "tocsin.toml").write_text(f"[tor]\nmode = 'own'\njitter = 0\nready = '10m'\ntorrc = '{lines}'\n")
    source = tmp_path / "own.yaml"
    source.write_text("name: own\n" + LISTING.format(url=f"{onion.url}/"))
    must(home, "source", "add", source)
    command = [TOCSIN, "--home", str(home), "crawl", "own", "--json"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as crawl:
        assert crawl.stderr is not None
        said = ""
        for line in crawl.stderr:
            said += line
            if "Tor is connecting to the Tor network" in line:
                break
        else:
            pytest.fail(f"it did not say that Tor is connecting: {said}")
        own = TorProcess(home / "tor")
        control_port.run_commands(own.control, None, lambda send: send("RESETCONF ReachableAddresses"))
        stdout, stderr = crawl.communicate(timeout=600)
    assert crawl.returncode == 0, stdout + said + stderr
    assert json.loads(stdout)["crawls"][0]["examined"] == 2
    with pytest.raises(OSError), socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(home / "tor" / "socks"))
    for path in (home / "tor").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0 or path.is_socket(), path
    kept = b"".join(path.read_bytes() for path in (home / "tor").rglob("*") if path.is_file())
    assert onion.host.removesuffix(".onion").encode() not in kept, "Tor stores no address of a site"


def test_doctor_and_status_report_the_state_of_tor(tmp_path, tor_network, site):
    onion = tor_network.publish(site.port)
    home = tmp_path / "home"
    must(None, "init", home)
    source = tmp_path / "site.yaml"
    source.write_text("name: site\n" + LISTING.format(url=f"{onion.url}/"))
    must(home, "source", "add", source)
    folder = tor_network.client.folder
    (home / "tocsin.toml").write_text(f"[tor]\nsocks = 'unix:{folder}/socks'\ncontrol = 'unix:{folder}/control'\n")
    status = tocsin_json(home, "status")["tor"]
    assert (status["state"], status["progress"]) == ("ok", 100)
    assert status["version"].startswith("0.4.")
    settings = Home(home, {}).settings
    definitions = [complete_definition(load_source(home / "sources" / "site.yaml"))]

    def checked() -> dict[str, str]:
        return {check.name: check.state for check in checks(Home(home, {}), settings(), definitions)}

    assert checked() == {"tor": "ok", "tor control": "ok", "tor wall": "ok"}
    (home / "tocsin.toml").write_text(f"[tor]\nsocks = 'unix:{tmp_path}/none'\ncontrol = 'unix:{tmp_path}/none'\n")
    assert tocsin_json(home, "status")["tor"]["state"] == "down"
    assert checked() == {"tor": "wrong", "tor control": "warning", "tor wall": "ok"}


def archive(path: Path, dump: bytes, size: int) -> None:
    """Write a tar file with a member of `size` zero bytes, followed by a dump."""
    with path.open("wb") as out:
        for name, length, content in (("padding.bin", size, b""), ("dump.csv", len(dump), dump)):
            header = tarfile.TarInfo(name)
            header.size = length
            out.write(header.tobuf())
            out.write(content)
            out.seek(-length % 512 + (length - len(content)), os.SEEK_CUR)
        out.truncate(out.tell() + 1024)


def test_a_pastebin_and_a_large_archive_behind_onion_services_cause_an_alert(
    watch, tor_network, pinnwand, nginx, tmp_path
):
    """A paste is found through a feed, and a crash of Tor breaks the download of 200 MB in the middle."""
    dump = (watch.home.path.parent / "plant.csv").read_text()
    pastes, files = tor_network.publish(port_of(pinnwand.url)), tor_network.publish(port_of(nginx.url))
    paste = pinnwand.post("dump.csv", dump)
    feed = nginx.write_feed("over-tor", [(f"{pastes.url}/raw/{paste.slug}", "fresh data", "see paste")])
    folder = nginx.directory("archive")
    archive(folder / "all.tar", dump.encode(), 200 * 2**20)
    fragile = tor_network.another_client("large")
    fragile.start()
    wait_for("the client", fragile.bootstrapped, 20)
    watch.source("pastes", "platform: feed\nurl: {url}\nvia: tor\nhosts: ['{host}']\n",
                 url=f"{files.url}{feed.removeprefix(nginx.url)}", host=pastes.host)  # fmt: skip
    watch.source("archive", url=f"{files.url}/json/archive/")

    with Webhook() as webhook:
        channel = f'[channels.team]\nkind = "generic"\nurl = "{webhook.url}/hook"\nunsigned = true\n'
        watch.configure(fragile.folder, timeout="60s", extra=channel)
        with ThreadPoolExecutor(1) as elsewhere:
            crawling = elsewhere.submit(tocsin, watch.home.path, "crawl", "pastes", "archive", "--json")
            wait_for("the transfer", lambda: is_open("all.tar"), 60, every=0.05)
            time.sleep(1)
            fragile.kill()
            fragile.start()
            done = crawling.result()
    fragile.stop()
    assert done.returncode == 1, done.stdout + done.stderr
    results = {each["source"]: each for each in json.loads(done.stdout)["crawls"]}
    assert results["pastes"]["hits"] == {"p1": 3}
    assert results["archive"]["hits"] == {"p1": 3}
    assert results["archive"]["unexamined"] == 0
    assert results["archive"]["resumed"] >= 1, results["archive"]
    assert any('"bytes=' in line for line in nginx.requests() if "all.tar" in line)
    assert [request for request in webhook.received if b"further_release" in request.body]


def is_open(name: str) -> bool:
    """Whether some process has a file of that name open, as a server does while it sends the file."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            for link in (process / "fd").iterdir():
                if str(link.readlink()).endswith(f"/{name}"):
                    return True
        except OSError:
            # The process belongs to another user, or has ended.
            continue
    return False


def test_the_daemon_reports_when_tor_goes_down_and_comes_back(watch, tor_network, tmp_path):
    watch.configure(tmp_path)
    watch.source("watched", LISTING, url="http://clear.test/")

    async def states_after_a_check() -> dict[EventKind, str]:
        daemon = Daemon(watch.home, HeldLock(None))
        daemon._load_sources()
        await daemon.check_tor()
        daemon.store.close()
        return watch.states("")

    before = len(watch.store.events.latest(kind="tor_down"))
    assert "is not running" in asyncio.run(states_after_a_check())[EventKind.TOR_DOWN]
    assert "is not running" in asyncio.run(states_after_a_check())[EventKind.TOR_DOWN]
    assert len(watch.store.events.latest(kind="tor_down")) == before + 1
    watch.configure(tor_network.client.folder)
    assert EventKind.TOR_DOWN not in asyncio.run(states_after_a_check())
    assert watch.events("", EventKind.RECOVERED)


def test_our_own_tor_is_restarted_after_a_crash_but_not_in_a_loop(tmp_path, tor_network, monkeypatch):
    lines = tmp_path / "private-network"
    lines.write_text(tor_network.torrc_for_own())
    own = TorProcess(tmp_path / "tor", extra=str(lines))
    own.ensure_running()
    wait_for("our own Tor", lambda: Path(own.socks.path).exists() and own.alive, 20)
    assert own._process is not None
    os.kill(own._process.pid, signal.SIGKILL)
    wait_for("its end", lambda: not own.alive, 5)
    own.ensure_running()
    assert own.starts == 1, "it is not restarted at once"
    monkeypatch.setattr(tor_process, "RESTART_SECONDS", 0.0)
    own.ensure_running()
    assert own.alive
    assert own.starts == 2
    own.stop()
    assert not own.alive
    lines.write_text("NoSuchOption 1\n")
    own.ensure_running()
    wait_for("its end", lambda: not own.alive, 5)
    assert "NoSuchOption" in own.last_log_lines() or "Failed to parse" in own.last_log_lines()
    with pytest.raises(ConfigError, match="cannot be started"):
        TorProcess(tmp_path / "none", program="no-such-tor").ensure_running()


# --- Tor under a running daemon --------------------------------------------------------------------------------------

TOR_SETTINGS = """
[tor]
jitter = 0
patience = "1s"
ready = "20s"
socks = "unix:{folder}/socks"
control = "unix:{folder}/control"
"""


@pytest.fixture(scope="module")
def tor_world(tmp_path_factory, tor_network):
    """A daemon that watches one source over a Tor of its own."""
    tor = tor_network.another_client("daemon")
    tor.start()
    wait_for("the client", tor.bootstrapped, 20)

    def source(site) -> str:
        onion = tor_network.publish(site.http.server_address[1])
        return "name: site\n" + LISTING.format(url=f"{onion.url}/?page={{page}}") + "timeout: 20s\n"

    try:
        with opened_world(
            tmp_path_factory.mktemp("tor-faults"), source=source, settings=TOR_SETTINGS.format(folder=tor.folder)
        ) as world:
            yield world, tor
    finally:
        tor.stop()


def stop_and_start(tor: Tor) -> Callable[[], None]:
    tor.stop()
    return tor.start


def kill_and_start(tor: Tor) -> Callable[[], None]:
    tor.kill()
    return tor.start


def freeze(tor: Tor) -> Callable[[], None]:
    assert tor.process is not None
    pid = tor.process.pid
    os.kill(pid, signal.SIGSTOP)
    return lambda: os.kill(pid, signal.SIGCONT)


def take_control_port(tor: Tor) -> Callable[[], None]:
    aside = tor.control.with_name("aside")
    tor.control.rename(aside)
    return lambda: aside.rename(tor.control) and None


def refuse_circuits(tor: Tor) -> Callable[[], None]:
    with tor.controller() as controller:
        controller.set_conf("DisableNetwork", "1")

    def allow() -> None:
        with tor.controller() as controller:
            controller.set_conf("DisableNetwork", "0")

    return allow


TOR_FAULTS = {
    "is stopped": stop_and_start,
    "is killed": kill_and_start,
    "stands still": freeze,
    "has no control port": take_control_port,
    "builds no circuit": refuse_circuits,
}


@pytest.mark.skipif(os.geteuid() != 0, reason="the home is a mounted file system, which only root may make")
@pytest.mark.parametrize("fault", TOR_FAULTS)
def test_whatever_happens_to_tor_during_a_crawl_of_the_daemon_loses_nothing_and_is_told(tor_world, fault):
    world, tor = tor_world
    world.calm()
    hits, told = world.hits(), len(world.chat.messages)
    world.crawl_process()
    undo = TOR_FAULTS[fault](tor)
    world.site.hold.set()
    try:
        world.publish_hit()
        if fault == "has no control port":
            # crawls go on without it
            world.until(lambda: world.hits() == hits + 2, "a hit was not reported")
        else:
            world.until(lambda: "Tor" in str(world.chat.messages[told:]), "nobody was told of Tor")
            assert tocsin(world.home, "status").returncode == 2
    finally:
        undo()
    world.until(world.examined, "a post was lost")
    world.until(lambda: world.hits() == hits + 2, "a hit was not reported")
    world.calm()
    world.until(lambda: tocsin(world.home, "status").returncode == 0, "status does not recover")
    assert world.hits() == hits + 2, "a hit was reported twice"
