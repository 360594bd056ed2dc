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
from data.sources.definition_sections import AbsentSection, BlockedSection, NoPreviewSection

# Bytes that are looked at: a blocked page shows at once that it is one; the rest of a long page is data.
HEAD = 64 * 1024
# Bytes: a plain text page that says "no such paste" is short; a longer one is the paste itself.
SHORT = 4 * 1024
# With this status a site asks for patience.
_PATIENCE = 429
# Visible characters that a page with nothing but a log-in form has at most.
MAX_FORM_ONLY = 2 * 1024

# Every page that the rules below take for a blocked page contains one of these words. Searched one by one, they take a
# thirtieth of the time that one expression takes.
_HINTS = (
    b"challenge", b"captcha", b"turnstile", b"password", b"just a moment", b"attention required", b"ddos",
    b"checking your", b"a human", b"human verif", b"security check", b"bot verif", b"not a bot", b"access denied",
    b"un instant", b"you are human",
)  # fmt: skip
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


# Titles of access checks; a refusal ("access denied") is none.
_CHECKED = re.compile(
    r"just a moment|attention required|ddos[- ]?guard|ddos protection|checking your browser|human|security check"
    r"|bot verification|not a bot|captcha|un instant…",
    re.IGNORECASE,
)

StandIn = Literal["seized", "parked", "portal", "placeholder", ""]
# A network on the way asks for a log-in (RFC 6585).
HTTP_PORTAL = 511
HTTP_UNAUTHORIZED = 401
_LOGIN = re.compile(
    r"you must be (?:logged|registered)|you (?:need|have) to (?:be logged in|log ?in|sign in|register)|please (?:log|sign) ?in"
    r"|log ?in or register|not logged in|requires you to be registered|only registered members|members only"
    r"|connectez-vous|veuillez vous connecter|vous devez (?:être|vous) connect|vous n'êtes pas connecté"
    r"|sie müssen (?:angemeldet|sich)|bitte (?:melden sie sich|einloggen)|необходимо (?:войти|авторизоваться)",
    re.IGNORECASE,
)
_SEIZED = re.compile(
    r"(?:has|have) been seized|this (?:hidden |web ?)?(?:site|domain|service|website)[^.]{0,40} seized|seized by (?:the |law)"
    r"|domain seizure|seizure[ _-]?(?:banner|notice)|operation (?:cronos|endgame|cookie monster|duck hunt)"
    r"|a été saisi|saisie? par (?:la|les) autorit|beschlagnahmt|изъят",
    re.IGNORECASE,
)
_PLACEHOLDER = re.compile(
    r"welcome to nginx|apache2? (?:\w+ )?default page|apache (?:http server )?test page|test page for the|^it works!?$"
    r"|iis windows server|internet information services|welcome to caddy|lighttpd placeholder|welcome to openresty"
    r"|default web ?(?:site|page)|site not (?:found|configured)|account (?:has been )?suspended|future home of|coming soon"
    r"|under construction",
    re.IGNORECASE | re.MULTILINE,
)
_PARKED = re.compile(
    r"domain (?:name )?(?:is|may be|might be) (?:for sale|available for purchase|parked|expired)|(?:buy|get|inquire about) this domain"
    r"|parked (?:free|domain|page|by)|this domain (?:name )?(?:has|was) (?:expired|recently registered|been registered)"
    r"|(?:renew|registration of) this domain|this (?:web ?)?page is parked"
    r"|domaine? (?:est à vendre|à vendre|réservé|parqué|a expiré)|domain (?:steht zum verkauf|zu verkaufen|ist geparkt)",
    re.IGNORECASE | re.MULTILINE,
)
# What only pages of parking services load; such a page may have no text of its own.
_PARKING = re.compile(
    rb"sedoparking\.com|parkingcrew\.net|\bbodis\.com|parklogic\.com|afternic\.com|hugedomains\.com|namebrightstatic\.com"
    rb"|parking-lander|domain-?parking|cdn\.dan\.com|above\.com/marketplace|adsense/domains/caf\.js|location\.href\s*=\s*[\"']/lander",
    re.IGNORECASE,
)
# A network between this machine and the site that wants a log-in or a consent first.
_PORTAL = re.compile(
    r"captive portal|portail captif|hot ?spot (?:log-?in|login|portal|access)|wi-?fi (?:log-?in|login|portal|access|gratuit)"
    r"|(?:guest|public|free) wi-?fi|network (?:log-?in|authentication required)|log ?in to (?:this|the) network"
    r"|(?:to|before) (?:access|accessing|us(?:e|ing)) (?:the|this) (?:internet|network|wi-?fi)"
    r"|accéder à internet|pour (?:accéder au|utiliser le) (?:réseau|wi-?fi)|internetzugang|zugang zum (?:wlan|internet)",
    re.IGNORECASE,
)


def classify_content(
    definition: Definition, body: bytes, content_type: str, rows: int | None
) -> Literal["ok", "absent", "blocked", "no_preview"]:
    """Classify a page by its content alone; arguments and result as `crawler.pages.extract.classify`."""
    head = body[:HEAD]
    sections = (definition.blocked, definition.absent, definition.no_preview)
    has_rules = any(section.css or (rows is None and section.text) for section in sections)
    if (rows or (rows is None and not _has_hint(head))) and not has_rules:
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
    if not rows and _matches(definition.no_preview, root, text):
        return "no_preview"
    return "blocked" if not rows and _is_blocked(root, text, rows) else "ok"


def asks_for_login(definition: Definition, status: int, body: bytes, content_type: str) -> bool:
    """Whether a blocked page asks for a log-in, as far as its status, a password field or its words show that."""
    if status == HTTP_UNAUTHORIZED:
        return True
    head = body[:HEAD]
    root = parse_html(decode(head, definition.charset, content_type))[0] if _is_html(head, content_type) else None
    if root is None or _CHALLENGE(root) or _CAPTCHA(root):
        return False
    return bool(_PASSWORD(root) or _LOGIN.search(squeeze(lines_of(root)).replace("’", "'")))


def _has_hint(head: bytes) -> bool:
    """Whether a page contains one of the words without which no rule of this module takes it for a blocked page."""
    lower = head.lower()
    return any(hint in lower for hint in _HINTS)


def is_wall(definition: Definition, status: int, body: bytes, content_type: str) -> bool:
    """Whether a blocked page says that only members may read it; not an access check, and no plea for patience."""
    if status == _PATIENCE or status >= 500:
        return False
    head = body[:HEAD]
    root = parse_html(decode(head, definition.charset, content_type))[0] if _is_html(head, content_type) else None
    if root is None:
        return status in (401, 403)
    title = squeeze(" ".join(root.xpath("//title//text()"))).replace("’", "'")
    return not (_CHALLENGE(root) or _CAPTCHA(root) or _TITLES.search(title))


def is_challenge(definition: Definition, body: bytes, content_type: str) -> bool:
    """Whether a blocked page wants to be shown that its reader is a person: an access check, or a captcha."""
    head = body[:HEAD]
    root = parse_html(decode(head, definition.charset, content_type))[0] if _is_html(head, content_type) else None
    if root is None:
        return False
    title = squeeze(" ".join(root.xpath("//title//text()"))).replace("’", "'")
    return bool(_CHALLENGE(root) or _CAPTCHA(root) or (_CHECKED.search(title) and not _PASSWORD(root)))


def stand_in(definition: Definition, body: bytes, content_type: str) -> StandIn:
    """What a listing without rows is in place of the site; '' if it does not show that.

    `seized`: the notice of those who took it. `parked`: its domain is for sale or has expired. `portal`: a network on the
    way wants a log-in first. `placeholder`: what a web server shows where no site is. Not for the pages of posts, which
    may talk of such things.
    """
    head = body[:HEAD]
    if not _is_html(head, content_type):
        return ""
    root, _ = parse_html(decode(head, definition.charset, content_type))
    if root is None:
        return ""
    text = lines_of(root)
    shown = f"{squeeze(' '.join(root.xpath('//title//text()')))}\n{text[:SHORT]}".replace("’", "'")
    pictures = " ".join(f"{each.get('alt') or ''} {each.get('src') or ''}" for each in root.iter("img"))
    if _SEIZED.search(f"{shown} {pictures}"):
        return "seized"
    if len(text) >= MAX_FORM_ONLY:
        return ""
    if _PORTAL.search(shown):
        return "portal"
    if _PARKED.search(shown) or _PARKING.search(head):
        return "parked"
    return "placeholder" if _PLACEHOLDER.search(shown) else ""


def _is_html(head: bytes, content_type: str) -> bool:
    if content_type:
        return "html" in content_type.lower()
    return bool(re.match(rb"\s*<(?!\?xml|rss|feed|rdf)[a-z!]", head, re.IGNORECASE))


def _matches(section: AbsentSection | BlockedSection | NoPreviewSection, root: Any, text: str) -> bool:
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
