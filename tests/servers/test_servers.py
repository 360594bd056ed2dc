from __future__ import annotations

import secrets

import httpx
import pytest
from parsel import Selector

from tests.servers.base import client
from tests.servers.nginx import Nginx
from tests.servers.pinnwand import Pinnwand
from tests.servers.spirit import Spirit
from tests.servers.synapse import Synapse

pytestmark = [pytest.mark.servers, pytest.mark.slow]

HARD = 'Dupont;Zoé;1980-02-29;06 12 34 56 78\nO\'Neil;"Seán";<b>x</b>;:-)\n'


def get(address: str, **options: object) -> httpx.Response:
    with client() as web:
        return web.get(address, **options)  # type: ignore[arg-type]


def test_pinnwand_gives_back_the_exact_bytes_of_a_paste(pinnwand: Pinnwand) -> None:
    paste = pinnwand.post("part1.csv", HARD)
    assert get(paste.raw).content == HARD.encode()
    assert "Dupont" in get(paste.url).text


def test_a_removed_paste_is_gone(pinnwand: Pinnwand) -> None:
    paste = pinnwand.post("part2.csv", HARD)
    pinnwand.remove(paste)
    assert get(paste.raw).status_code == 404


def test_spirit_lists_and_shows_a_topic_that_a_registered_user_posted(spirit: Spirit) -> None:
    title = f"Full base {secrets.token_hex(4)}"
    address = spirit.post_topic(title, "jean.dupont@example.org;0612345678")
    listing = Selector(get(spirit.listing_url).text)
    assert any(title in text for text in listing.css("a ::text").getall())
    assert "jean.dupont@example.org" in get(address).text


def test_spirit_takes_two_topics_at_once(spirit: Spirit) -> None:
    first, second = (spirit.post_topic(f"Topic {secrets.token_hex(4)}", "x y z") for _ in range(2))
    assert first != second


def test_nginx_lists_a_folder_in_three_forms_and_serves_ranges(nginx: Nginx) -> None:
    folder = nginx.directory(f"d{secrets.token_hex(4)}")
    (folder / "dump.csv").write_text(HARD)
    assert "dump.csv" in Selector(get(f"{nginx.url}/html/{folder.name}/").text).css("a::attr(href)").getall()
    assert get(f"{nginx.url}/json/{folder.name}/").json()[0]["size"] == len(HARD.encode())
    assert "dump.csv" in get(f"{nginx.url}/xml/{folder.name}/").text
    part = get(f"{nginx.url}/html/{folder.name}/dump.csv", headers={"Range": "bytes=3-5"})
    assert (part.status_code, part.content) == (206, HARD.encode()[3:6])
    assert any(folder.name in line and " 206 " in line for line in nginx.requests())


@pytest.mark.parametrize("kind", ["rss", "atom"])
def test_nginx_serves_feeds(nginx: Nginx, kind: str) -> None:
    name = f"f{secrets.token_hex(4)}"
    address = nginx.write_feed(
        name, [("http://127.0.0.1/b", "B", "two"), ("http://127.0.0.1/a", "A", "one")], kind=kind
    )
    answer = get(address)
    assert answer.headers["content-type"].startswith(f"application/{kind}+xml")
    assert answer.text.index("127.0.0.1/b") < answer.text.index("127.0.0.1/a")


def test_nginx_redirects_and_limits(nginx: Nginx) -> None:
    answer = get(f"{nginx.url}/redirect?to=http://127.0.0.2:1/x")
    assert (answer.status_code, answer.headers["location"]) == (302, "http://127.0.0.2:1/x")
    assert 429 in {get(f"{nginx.url}/limited/").status_code for _ in range(5)}


def test_a_message_in_a_matrix_room_is_read_by_another_user(synapse: Synapse) -> None:
    bell, analyst = (synapse.register(f"{name}-{secrets.token_hex(4)}") for name in ("bell", "analyst"))
    room = synapse.create_room(bell, "alerts", analyst)
    synapse.send(bell, room, "first", transaction="t1")
    synapse.send(bell, room, "first", transaction="t1")
    synapse.send(bell, room, "second")
    seen = synapse.read_messages(analyst, room)
    assert [(event["sender"], event["content"]["body"]) for event in seen] == [(bell.id, "first"), (bell.id, "second")]


def test_matrix_can_be_made_to_answer_429(synapse: Synapse) -> None:
    bell = synapse.register(f"fast-{secrets.token_hex(4)}")
    room = synapse.create_room(bell, "alerts")
    synapse.limit_messages(bell, per_second=1, burst=1)

    def burst() -> None:
        for number in range(10):
            synapse.send(bell, room, f"message {number}")

    with pytest.raises(httpx.HTTPStatusError) as refused:
        burst()
    assert refused.value.response.status_code == 429
    assert int(refused.value.response.headers["retry-after"]) >= 1
