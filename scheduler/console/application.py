"""The web application: which address shows which view in which form, who may see it, and how people sign in and out."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import anyio
import structlog
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from data.errors import StoreError, TocsinError
from data.printable import without_controls
from scheduler.console import access, take_view
from scheduler.console.access import Credential, Person, Role
from scheduler.console.console import STALE_SECONDS, Console
from scheduler.console.guard import Guard
from scheduler.console.pages import Asked, NoSuchPage, WebPage
from scheduler.console.rendering import STATIC, json_response, respond
from scheduler.console.views import Action, View, actions, prepare, views
from scheduler.delivery.take_links import PATH

_log = structlog.get_logger("console")
COOKIE = "tocsin_console"
# Views run in so many threads, each with a handle of the database.
THREADS = 4
MAX_FIELDS = 1100
# Seconds: somebody who looks after an hour in which nobody did does not wait until everything is worked out anew.
PREPARE_EVERY = 0.4 * STALE_SECONDS
_TYPES = {"console.css": "text/css", "console.js": "text/javascript", "mark.svg": "image/svg+xml"}
Endpoint = Callable[[Request], Awaitable[Response]]


def application(console: Console) -> Starlette:
    """The console as an ASGI application."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:  # noqa: ARG001 - Starlette gives it
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        await console.broker.open()
        preparing = asyncio.create_task(_keep_prepared(console))
        yield
        preparing.cancel()
        await console.broker.close()

    routes = [
        Route("/sign-in", _sign_in(console), methods=["GET", "POST"]),
        Route(PATH, _take(console), methods=["GET", "POST"]),
        Route("/sign-out", _sign_out(console), methods=["POST"]),
        Route("/static/{name}", _static, methods=["GET"]),
    ]
    for view in views():
        for path, form in view.addresses():
            routes.append(Route(path, _view(console, view, form), methods=["GET"]))
    routes += [Route(action.path, _action(console, action), methods=["POST"]) for action in actions()]
    made = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[Middleware(Guard, origins=console.origins)],
        exception_handlers={HTTPException: _failed(console), Exception: _crashed},
    )
    made.state.console = console
    return made


async def _keep_prepared(console: Console) -> None:
    """Prepare first looks beside requests that come already, say that the console is ready, and keep what was prepared fresh."""
    while True:
        try:
            await run_in_threadpool(prepare, console)
        except Exception as error:  # noqa: BLE001 - it is slower without, and answers all the same
            _log.error("the console could not be prepared", error=type(error).__name__)
        await console.broker.say_ready()
        await asyncio.sleep(PREPARE_EVERY)


def _view(console: Console, view: View, form: str) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = await run_in_threadpool(_person, console, request)
        if person is None:
            return _unknown(request, form, console)
        if not person.role.may(view.role):
            return _refused(request, form, console, person, 403, f"that needs the role {view.role.value}")
        return await run_in_threadpool(_look, console, view, form, request, person)

    return endpoint


def _look(console: Console, view: View, form: str, request: Request, person: Person) -> Response:
    try:
        asked = Asked(
            console, console.reading(), person, request.path_params, _query(request.url.query), datetime.now(UTC)
        )
        page = view.show(asked)
    except NoSuchPage as error:
        return _refused(request, form, console, person, 404, str(error))
    except TocsinError as error:
        status = 503 if isinstance(error, StoreError) else 400
        return _refused(request, form, console, person, status, str(error), error.hint)
    return respond(request, page, form, _shared(request, console, person))


def _action(console: Console, action: Action) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        person = await run_in_threadpool(_person, console, request)
        if person is None:
            return _unknown(request, "html", console)
        if not person.role.may(action.role):
            return _refused(request, "html", console, person, 403, f"that needs the role {action.role.value}")
        fields = _fields(await request.body())
        try:
            done = await action.do(console, person, fields, request.path_params)
        except NoSuchPage as error:
            return _refused(request, "html", console, person, 404, str(error))
        except TocsinError as error:
            return _refused(request, "html", console, person, 400, str(error), error.hint)
        finally:
            console.forget()
        if isinstance(done, WebPage):
            return await run_in_threadpool(respond, request, done, "html", _shared(request, console, person))
        if "application/json" in request.headers.get("accept", ""):
            return json_response({"done": done})
        return RedirectResponse(done, 303)

    return endpoint


def _sign_in(console: Console) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        if request.method == "POST":
            secret = dict(_fields(await request.body())).get("link", "")
            session = await run_in_threadpool(_use_link, console, secret)
            if session is None:
                page = WebPage("sign_in.html", "Sign in", {"link": "", "failed": True}, status=403)
                return respond(request, page, "html", _shared(request, console, None))
            response = RedirectResponse("/", 303)
            response.set_cookie(
                COOKIE,
                session,
                max_age=int(access.SESSION_LASTS.total_seconds()),
                httponly=True,
                samesite="strict",
                secure=all(each.startswith("https:") for each in console.origins),
            )
            return response
        link = _query(request.url.query).get("link", "")
        page = WebPage("sign_in.html", "Sign in", {"link": link, "failed": False}, status=200 if link else 401)
        return respond(request, page, "html", _shared(request, console, None))

    return endpoint


def _take(console: Console) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        now = datetime.now(UTC)
        person = await run_in_threadpool(_person, console, request)
        shared = _shared(request, console, person)
        if request.method != "POST":
            page = await run_in_threadpool(take_view.ask, console, _query(request.url.query).get("link", ""), now)
            return respond(request, page, "html", shared)
        given = dict(_fields(await request.body()))
        try:
            page = await run_in_threadpool(
                take_view.decide_by_link, console, given.get("link", ""), given.get("name", "").strip(), now
            )
        except TocsinError as error:
            page = WebPage(
                "refused.html", "Not done", {"said": str(error), "hint": error.hint, "code": 403}, status=403
            )
        finally:
            console.forget()
        return respond(request, page, "html", shared)

    return endpoint


def _use_link(console: Console, secret: str) -> str | None:
    with contextlib.closing(console.writing()) as store:
        return access.sign_in(store, secret, datetime.now(UTC))


def _sign_out(console: Console) -> Endpoint:
    def leave(person: Person) -> None:
        with contextlib.closing(console.writing()) as store:
            access.sign_out(store, person, datetime.now(UTC))

    async def endpoint(request: Request) -> Response:
        person = await run_in_threadpool(_person, console, request)
        if person is not None:
            await run_in_threadpool(leave, person)
        response = RedirectResponse("/sign-in", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return response

    return endpoint


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _TYPES:
        raise HTTPException(404)
    return FileResponse(STATIC / name, media_type=_TYPES[name], headers={"cache-control": "private, max-age=60"})


def _person(console: Console, request: Request) -> Person | None:
    """Who sends a request: a bearer token decides alone if there is one, else the cookie."""
    now = datetime.now(UTC)
    given = request.headers.getlist("authorization")
    if given:
        scheme, _, secret = given[0].partition(" ")
        if len(given) > 1 or scheme.lower() != "bearer":
            return None
        return access.person_of(console.reading(), secret.strip(), Credential.TOKEN, now)
    secret = request.cookies.get(COOKIE, "")
    return access.person_of(console.reading(), secret, Credential.SESSION, now) if secret else None


def _unknown(request: Request, form: str, console: Console) -> Response:
    """The answer to somebody who is not signed in: nothing but how to sign in."""
    if form != "html" or "authorization" in request.headers:
        response = json_response({"error": "sign in first, or send a valid token"}, 401)
        response.headers["www-authenticate"] = 'Bearer realm="tocsin console"'
        return response
    page = WebPage("sign_in.html", "Sign in", {"link": "", "failed": False}, status=401)
    return respond(request, page, "html", _shared(request, console, None))


def _refused(
    request: Request, form: str, console: Console, person: Person, status: int, said: str, hint: str = ""
) -> Response:
    if form != "html":
        return json_response({"error": said, "hint": hint}, status)
    page = WebPage("refused.html", "Not done", {"said": said, "hint": hint, "code": status}, status=status)
    return respond(request, page, "html", _shared(request, console, person))


def _failed(console: Console) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def handler(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        person = await run_in_threadpool(_person, console, request)
        if person is None:
            return json_response({"error": "sign in first"}, 401)
        said = {404: "there is no such page", 405: "that address takes no such request"}.get(status, "it failed")
        return _refused(request, "html", console, person, status, said)

    return handler


async def _crashed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - its address may hold a search
    frames = traceback.extract_tb(error.__traceback__)
    where = next((f"{Path(each.filename).name}:{each.lineno}" for each in reversed(frames)), "")
    _log.error("the console failed", error=type(error).__name__, where=where)
    return json_response({"error": "the console failed; its log says where"}, 500)


def _query(text: str) -> Mapping[str, str]:
    """The filters of an address; of one that is given twice the last counts."""
    try:
        pairs = parse_qsl(text, max_num_fields=64)
    except ValueError:
        return {}
    return {name: without_controls(value)[:200] for name, value in pairs}


def _fields(body: bytes) -> Sequence[tuple[str, str]]:
    """The fields of a form in order; values keep their line ends."""
    try:
        return parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise HTTPException(413) from error


def _shared(request: Request, console: Console, person: Person | None) -> dict[str, Any]:
    """What every template needs."""
    return {
        "person": person and dataclasses.asdict(person),
        "may_triage": person is not None and person.role.may(Role.TRIAGE),
        "may_admin": person is not None and person.role.may(Role.ADMIN),
        "case": console.given.case,
        "path": request.url.path,
        "query": _query(request.url.query),
        "query_text": request.url.query,
        "now": datetime.now(UTC),
    }
