"""Quotes that repeat another part are told from those that say something new, and parts that guests do not see."""

import pytest
from parsel import Selector

from crawler.pages.html_text import lines_of
from crawler.pages.quotes import Quote, is_hidden, lacks_only, only_quoted, split_quotes

FIRST = "dupontjean12031950lefevrezoe01121987"


@pytest.mark.parametrize(
    ("quotes", "known"),
    [
        (["DUPONT;Jean;12/03/1950"], True),
        (["Dupont ; JEAN ; 12-03-1950\nLefèvre;Zoé;01/12/1987"], True),
        (["DUPONT;Jean;12/03/1951"], False),
        (["DUPONT;Jean;12/03/1950", "MARTIN;Lucie;03/04/1971"], False),
        (["oui"], False),  # too short to be told from the same word elsewhere
        ([""], True),
    ],
)
def test_a_quote_is_left_out_only_if_it_stands_as_a_whole_in_another_part(quotes, known):
    assert only_quoted([Quote(text) for text in quotes], [FIRST, "merci"]) is known


def test_the_text_around_quotes_and_quotes_in_quotes_stays_in_order():
    row = Selector(
        "<div><p>avant</p><div class=quotebox><cite><a href='?p=41#p41'>x</a>Jean wrote:</cite><blockquote>un<blockquote>deux</blockquote>"
        "</blockquote></div>entre<blockquote class='postcontent'>texte <span class=q>&gt; trois</span>fin</blockquote></div>"
    ).css("body > div")[0]
    without, quotes = split_quotes(row)
    assert [" ".join(quote.text.split()) for quote in quotes] == ["un deux", "> trois"]
    assert quotes[0].numbers == ("41",)
    assert lines_of(without.root).split() == ["avant", "entre", "texte", "fin"]
    assert "trois" in row.get(), "the part itself is as it was"


def test_markup_and_codes_in_json_are_searched_for_quotes():
    row = {"a": {"html": "<p>x</p><blockquote>un</blockquote>y"}, "raw": '[quote="j, post:1"]\nun\n[/quote]\ny', "n": 3}
    without, quotes = split_quotes(row)
    assert [quote.text.strip() for quote in quotes] == ["un", "un"]
    assert (without["n"], without["raw"].strip(), "un" in without["a"]["html"]) == (3, "y", False)
    assert split_quotes({"raw": "no quote at all"}) == ({"raw": "no quote at all"}, ())


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("Hidden content\nYou need to reply to this thread or react to this post to see it.", True),
        ("You must register or login to view this content.", True),
        ("*** Hidden text: you do not have sufficient rights, log in first ***", True),
        ("Unlock this post for 8 credits", True),
        ("Vous devez répondre à ce sujet pour voir le contenu", True),
        ("You must pay before Friday.", False),
        ("I need to reply to her mail. To see the file, open it.", False),
        ("DUPONT;Jean;12/03/1950;hidden", False),
    ],
)
def test_a_part_that_wants_a_reply_or_a_log_in_first_is_recognised(text, hidden):
    assert is_hidden(text) is hidden


def test_text_that_rules_take_from_elsewhere_is_not_lost_with_a_quote():
    row = Selector("<div><blockquote><cite>Jean wrote:</cite>un</blockquote>deux</div><p>trois</p>").css("div")[0]
    without, quotes = split_quotes(row)
    assert lacks_only(quotes, lines_of(row.root), lines_of(without.root))
    assert not lacks_only(quotes, lines_of(row.root) + "\ntrois", lines_of(without.root))
