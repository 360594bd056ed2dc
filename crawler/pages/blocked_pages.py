"""Recognises pages that answer with status 200 but are not the requested page: log-in pages, access checks, soft 404s.

Pure functions on the bytes of a page.
"""

from __future__ import annotations

import re
from typing import Any, Literal

from lxml import etree
from parsel.csstranslator import HTMLTranslator

from crawler.pages.html_text import decode, lines_of, parse_html, squeeze
from crawler.pages.row_values import compiled_expression
from crawler.pages.time_limit import search
from data.sources.definition import Definition
from data.sources.definition_sections import AbsentSection, BlockedSection

# Bytes that are looked at: a blocked page shows at once that it is one; the rest of a long page is data.
HEAD = 64 * 1024
# Bytes: a plain text page that says "no such paste" is short; a longer one is the paste itself.
SHORT = 4 * 1024
# Visible characters that a page with nothing but a log-in form has at most.
MAX_FORM_ONLY = 2 * 1024

# Every page that the rules below take for a blocked page contains one of these words.
_HINTS = re.compile(
    rb"challenge|captcha|turnstile|password|just a moment|attention required|ddos|checking your|a human|human verif"
    rb"|security check|bot verif|not a bot|access denied|un instant|you are human",
    re.IGNORECASE,
)
_TITLES = re.compile(
    r"just a moment|attention required|ddos[- ]?guard|ddos protection|checking your browser|are you (?:a )?human"
    r"|security check|bot verification|human verification|making sure you'?re not a bot|access denied|captcha"
    r"|un instant…|verifying you are human",
    re.IGNORECASE,
)
_CHALLENGE = etree.XPath(
    "//form[@id='challenge-form' or contains(@action, '__cf_chl')]"
    " | //*[@id='cf-challenge-running' or @id='challenge-running' or @id='challenge-error-text']"
    " | //script[contains(@src, 'challenge-platform')]"
)
_CAPTCHA = etree.XPath(
    "//*[contains(@class, 'g-recaptcha') or contains(@class, 'h-captcha') or contains(@class, 'cf-turnstile')]"
    " | //input[contains(translate(@name, 'CAPTH', 'capth'), 'captcha')]"
    " | //img[contains(translate(@src, 'CAPTH', 'capth'), 'captcha')]"
)
_PASSWORD = etree.XPath("//input[translate(@type, 'PASWORD', 'pasword') = 'password']")
_WORDS = re.compile(
    r"just a moment|ddos[- ]?guard|checking your browser|captcha|you must be (?:logged|registered)"
    r"|you (?:need|have) to (?:be logged in|log ?in|sign in|register)|please (?:log|sign) ?in|log ?in or register"
    r"|you are not logged in|not logged in or you do not have permission|you do not have permission"
    r"|connectez-vous|veuillez vous connecter|vous devez (?:être|vous) connect|vous n'êtes pas (?:connecté|autorisé)"
    r"|sie müssen (?:angemeldet|sich)|bitte (?:melden sie sich|einloggen)|enable javascript and cookies"
    r"|необходимо (?:войти|авторизоваться)|войдите или зарегистрируйтесь",
    re.IGNORECASE,
)


def classify_content(
    definition: Definition, body: bytes, content_type: str, rows: int | None
) -> Literal["ok", "absent", "blocked"]:
    """Classify a page by its content alone; arguments and result as `crawler.pages.extract.classify`."""
    head = body[:HEAD]
    has_rules = bool(definition.blocked.css or definition.absent.css)
    if rows is None:
        has_rules = has_rules or bool(definition.blocked.text or definition.absent.text)
    if (rows or (rows is None and not _HINTS.search(head))) and not has_rules:
        return "ok"
    if not _is_html(head, content_type):
        if rows or len(body) > SHORT:
            return "ok"
        text = decode(head, definition.charset, content_type)
        if _matches(definition.blocked, None, text):
            return "blocked"
        return "absent" if _matches(definition.absent, None, text) else "ok"
    root, _ = parse_html(decode(head, definition.charset, content_type))
    if root is None:
        return "ok"
    text = "" if rows else squeeze(lines_of(root)).replace("’", "'")
    if _matches(definition.blocked, root, text):
        return "blocked"
    if _matches(definition.absent, root, text):
        return "absent"
    return "blocked" if not rows and _is_blocked(root, text, rows) else "ok"


def _is_html(head: bytes, content_type: str) -> bool:
    if content_type:
        return "html" in content_type.lower()
    return bool(re.match(rb"\s*<(?!\?xml|rss|feed|rdf)[a-z!]", head, re.IGNORECASE))


def _matches(section: AbsentSection | BlockedSection, root: Any, text: str) -> bool:
    """Whether the selector or the expression of the definition matches the page."""
    if section.css and root is not None and root.xpath(HTMLTranslator().css_to_xpath(section.css)):
        return True
    return section.text is not None and bool(text) and search(compiled_expression(section.text), text) is not None


def _is_blocked(root: Any, text: str, rows: int | None) -> bool:
    """Whether a page shows the signs that blocked pages of all sites share.

    Without rules for rows (`rows` is None) only signs count that never occur on the page of a post.
    """
    title = squeeze(" ".join(root.xpath("//title//text()"))).replace("’", "'")
    if _CHALLENGE(root):
        return True
    # forums show a log-in form above every page: the page is blocked only if it holds nothing else
    if len(text) < MAX_FORM_ONLY and (_TITLES.search(title) or _CAPTCHA(root) or _PASSWORD(root)):
        return True
    return rows is not None and bool(_TITLES.search(title) or _WORDS.search(text))
