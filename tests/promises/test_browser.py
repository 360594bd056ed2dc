"""P4, P6 with `render: browser`: the scripts of a page run, and reach nothing but what the crawl requests for them."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.command import TOCSIN, must, tocsin_json
from tests.promises.test_fail_closed import Recorder
from tests.synth.people import people
from tests.whole.test_whole_way import enrol, table

pytestmark = [pytest.mark.slow, pytest.mark.servers]

SOURCE = """\
name: site
platform: declared
url: {url}/
render: browser
timeout: 20s
rate: 100/s
list: {{each: "css:article", fields: {{id: "xpath:./@id", title: "css:a", link: "css:a::attr(href)"}}}}
item: {{each: ["css:div.post"]}}
"""
# Every way out that a page has, beside those that the crawl takes for it: to a host that the source does not declare, by
# another method than GET, and around the protocol by which requests are seen.
ESCAPES = """
const elsewhere = '{elsewhere}', socket = elsewhere.replace('http', 'ws');
for (const way of [
  () => fetch(elsewhere + '/fetch', {{mode: 'no-cors'}}), () => new WebSocket(socket + '/socket'),
  () => navigator.sendBeacon(elsewhere + '/beacon', 'x'), () => new EventSource(elsewhere + '/events'),
  () => {{ const made = new Image(); made.src = elsewhere + '/image'; }},
  () => {{ const made = document.createElement('iframe'); made.src = elsewhere + '/frame'; document.body.append(made); }},
  () => window.open(elsewhere + '/window'), () => new Worker(elsewhere + '/worker'),
  () => {{ const made = new RTCPeerConnection({{iceServers: [{{urls: 'stun:127.0.0.2:{port}?transport=tcp'}}]}});
           made.createDataChannel('x'); made.createOffer().then(offer => made.setLocalDescription(offer)); }},
  () => fetch('/posted', {{method: 'POST', body: 'x'}}),
  () => fetch('file:///etc/passwd').then(() => fetch('/file-was-read')),
]) try {{ way(); }} catch (error) {{}}
"""
FRONT = (
    """<html><body><div id="app">loading</div><script src="/app.js"></script><script>{escapes}</script></body></html>"""
)
APP = """
fetch('/api/posts').then(answer => answer.json()).then(posts => {
  document.getElementById('app').innerHTML = posts.map(
    each => `<article id="p${each}"><a href="/t/${each}">post ${each}</a></article>`).join('');
});
"""
THREAD = """<html><body><div id="app"></div><script>
setTimeout(() => fetch('/api' + location.pathname).then(answer => answer.text()).then(text => {
  const post = document.createElement('div');
  post.className = 'post';
  post.innerHTML = text.split('\\n').join('<br>');
  document.getElementById('app').append(post);
}), 50);
</script></body></html>"""


@pytest.fixture
def servers():
    made = [Recorder("127.0.0.1"), Recorder("127.0.0.2")]
    yield made
    for server in made:
        server.stop()


def crawl(home: Path) -> dict[str, object]:
    return tocsin_json(home, "crawl", "site", "--no-deliver", timeout=300)["crawls"][0]


def test_a_page_that_scripts_fill_is_read_and_its_scripts_reach_nothing_else(tmp_path, servers):
    board, elsewhere = servers
    home, crowd = tmp_path / "home", people(41, 6)
    must(None, "init", home)
    enrol(home, tmp_path, "practice-a", crowd)
    page, script = {"Content-Type": "text/html"}, {"Content-Type": "text/javascript"}
    escapes = ESCAPES.format(elsewhere=elsewhere.url, port=elsewhere.port)
    board.answers = {
        "/": (200, page, FRONT.format(escapes=escapes).encode()),
        "/app.js": (200, script, APP.encode()),
        "/api/posts": (200, {"Content-Type": "application/json"}, json.dumps([1, 2]).encode()),
        "/t/1": (200, page, THREAD.encode()),
        "/t/2": (200, page, THREAD.encode()),
        "/api/t/1": (200, {"Content-Type": "text/plain"}, table(crowd).encode()),
        "/api/t/2": (200, {"Content-Type": "text/plain"}, b"nothing of note"),
    }
    source = home / "sources" / "site.yaml"
    source.write_text(SOURCE.format(url=board.url))
    found = crawl(home)
    assert (found["state"], found["listed"], found["examined"], found["canaries"]) == ("done", 2, 2, 6), found
    assert elsewhere.connections == 0
    assert sorted(set(board.paths)) == [
        "/",
        "/api/posts",
        "/api/t/1",
        "/api/t/2",
        "/app.js",
        "/robots.txt",
        "/t/1",
        "/t/2",
    ]

    [entry] = tocsin_json(home, "evidence", "list")["evidence"]
    key = home / "keys" / "evidence.key"
    opened = json.loads(must(home, "evidence", "open", entry["id"], "--key", key))
    assert opened["received"]["screenshot"].endswith("bytes: print it with --screenshot")
    picture = subprocess.run(
        [TOCSIN, "--home", home, "evidence", "open", entry["id"], "--key", key, "--screenshot"],
        capture_output=True, check=True,
    ).stdout  # fmt: skip
    assert picture.startswith(b"\xff\xd8\xff")

    # what a script asks for does not arrive, or a script does not end: these posts stay due
    board.answers |= {
        "/api/posts": (200, {"Content-Type": "application/json"}, json.dumps([1, 2, 3, 4]).encode()),
        "/t/3": (200, page, THREAD.encode()),
        "/t/4": (200, page, b"<html><body><div class=post>text</div><script>for (;;) {}</script></body></html>"),
        "/api/t/3": (503, {"Content-Type": "text/plain", "Retry-After": "3600"}, b"busy"),
    }
    source.write_text(SOURCE.format(url=board.url).replace("20s", "4s"))
    found = crawl(home)
    assert (found["state"], found["unexamined"]) == ("done", 2), found
