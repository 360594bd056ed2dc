"""The questions of a crawl process and the runner's answers on the control socket, as typed values with their JSON form.

Both sides import this module, so that each frame is defined once. The runner sends one job first
(`crawler.process.job_frame`), then answers the questions. The wire format is the table of docs/protocols.md, section 4.
How frames travel is in `crawler.process.frames`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import Field, PlainSerializer, PlainValidator, TypeAdapter, ValidationError, model_validator

from crawler.process.wire_values import Base64, Int64, WireValue, malformed
from data.errors import WireError
from data.model import Finding


def _finding(value: object) -> Finding:
    if isinstance(value, Finding):
        return value
    try:
        return Finding.from_json(value)  # type: ignore[arg-type] # anything else than an object is an error as well
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError("not a finding") from error


FindingJson = Annotated[Finding, PlainValidator(_finding), PlainSerializer(Finding.to_json)]
# Parts of one post that the runner remembers: their ids and versions take 4.5 MB of a commit, a quarter of a frame.
MAX_PARTS = 50_000
# These keys on the wire differ from the names of the attributes.
FIELDS = Field(validation_alias="traits", serialization_alias="traits")
PAGE_FIELDS = Field(validation_alias="page", serialization_alias="page")


# --- answers of the runner -------------------------------------------------------------------------------------------


class Done(WireValue):
    """The runner has stored what the question reported."""

    ok: Literal[True]


class Lost(WireValue):
    """The runner no longer holds the lease of the crawl: the crawl process must stop. Possible for any question."""

    lost: Literal[True]


class ListedAnswer(WireValue):
    """What the crawl is to do with the posts of one page of the listing.

    Attributes:
        examine: ids of posts that are new, changed or still due. changed: those of them that were known and changed.
        settled: number of posts of the page that an earlier walk settled. settled_ids: which ones.
        start: id of a changed post -> value of {page} or {offset} of its last known page, from which on it is read again.
    """

    examine: tuple[str, ...]
    changed: tuple[str, ...]
    settled: Int64
    settled_ids: tuple[str, ...]
    start: Mapping[str, Int64]


class PartsAnswer(WireValue):
    """The ids of the parts of a post that are new or changed."""

    examine: tuple[str, ...]


class PreviewAnswer(WireValue):
    """The id of the event that the runner made of a preview."""

    event: str


class WalkedAnswer(WireValue):
    """Whether the runner wants the sealed first page of the listing, because it looks different."""

    page: bool


class TurnAnswer(WireValue):
    """Seconds until the request may be made, or, if its turn is not granted yet, until it is to be asked for again."""

    wait: float
    granted: bool


Answer = Done | Lost | ListedAnswer | PartsAnswer | PreviewAnswer | WalkedAnswer | TurnAnswer
DONE, LOST = Done(ok=True), Lost(lost=True)
A = TypeVar("A", bound=WireValue)


# --- questions of the crawl process ----------------------------------------------------------------------------------


class Question(WireValue, Generic[A]):
    """One question of the crawl process; `A` is the class of the answer."""

    @abstractmethod
    def read_answer(self, payload: bytes) -> A | Lost:
        """The runner's answer; raises WireError if it is malformed."""


class _Report(Question[Done]):
    """A question that only reports something."""

    def read_answer(self, payload: bytes) -> Done | Lost:
        """That the report is stored."""
        return _read_either(Done, payload)


def _read_either(kind: type[A], payload: bytes) -> A | Lost:
    try:
        return kind.from_json(payload)
    except WireError as error:
        try:
            return Lost.from_json(payload)
        except WireError:
            raise error from None


class TurnFrame(Question[TurnAnswer]):
    """A request to a host that other sources declare as well is about to be made; the turns of all crawls are in one row."""

    frame: Literal["turn"] = "turn"
    host: str

    def read_answer(self, payload: bytes) -> TurnAnswer | Lost:
        """When it may be made."""
        return _read_either(TurnAnswer, payload)


class ListedPost(WireValue):
    """A post as one row of a listing shows it.

    Attributes:
        id: keyed. version: keyed digest of `fields`. address: masked.
        fields: as `crawler.pages.post_fields` gives them.
        due: the sealed post, from which it can be fetched later; see `crawler.pages.post_identity.seal_due`.
    """

    id: str
    version: str
    address: str
    fields: Mapping[str, Any] = FIELDS
    due: Base64 = Field(repr=False)


class ListedFrame(Question[ListedAnswer]):
    """The posts of one page of the listing, in its order; `page` counts from 1, and is 0 for the feed of replies."""

    frame: Literal["listed"] = "listed"
    posts: tuple[ListedPost, ...]
    page: Int64

    def read_answer(self, payload: bytes) -> ListedAnswer | Lost:
        """Which of the posts are to be examined."""
        return _read_either(ListedAnswer, payload)


class PostPart(WireValue):
    """A part of a post (a reply, a file): keyed id, and keyed digest of what it says."""

    id: str
    version: str


class PartsFrame(Question[PartsAnswer]):
    """The parts of one post, as its pages show them."""

    frame: Literal["parts"] = "parts"
    parts: tuple[PostPart, ...]

    def read_answer(self, payload: bytes) -> PartsAnswer | Lost:
        """Which of the parts are to be examined."""
        return _read_either(PartsAnswer, payload)


class FieldCounts(WireValue):
    """Counts of a field of all rows; see `crawler.pages.listing_shape.FieldShape`."""

    filled: Int64
    numbers: Int64
    words: Int64


class PageShape(WireValue):
    """The shape of the first page of a listing; see `crawler.pages.listing_shape.ListingShape`."""

    rows: Int64
    fields: Mapping[str, FieldCounts]
    charset: str


class WalkedFrame(Question[WalkedAnswer]):
    """The walk of the listing has ended: pages and rows read, and whether posts may have been missed (`gap`).

    With `cut` there are further pages that it did not read: posts that were missed can still be read. `shape` is that of
    the first page.
    """

    frame: Literal["walked"] = "walked"
    pages: Int64
    rows: Int64
    gap: bool
    cut: bool
    shape: PageShape | None

    def read_answer(self, payload: bytes) -> WalkedAnswer | Lost:
        """Whether the page is wanted."""
        return _read_either(WalkedAnswer, payload)


class PagesFrame(Question[WalkedAnswer]):
    """The posts were read: `shape` is that of their pages, of which each counts as a row."""

    frame: Literal["pages"] = "pages"
    shape: PageShape

    def read_answer(self, payload: bytes) -> WalkedAnswer | Lost:
        """Whether the last page is wanted."""
        return _read_either(WalkedAnswer, payload)


class PageFrame(_Report):
    """The first page of the listing, or the last one of the posts, sealed for the holder of the evidence key: the site no longer looks as it did."""

    frame: Literal["page"] = "page"
    sealed: Base64 = Field(repr=False)


class AnnouncedTime(WireValue):
    """A time that a post announces; attributes as of `crawler.pages.deadlines.Deadline`."""

    at: Int64 | None
    after: Int64 | None
    exact: Int64
    phrase: str

    @model_validator(mode="after")
    def _has_a_time(self) -> Self:
        if (self.at is None) == (self.after is None):
            raise ValueError("either `at` or `after` is given")
        return self


class Announcements(WireValue):
    """What the text of a post announces: names of the incident's rules that match it, and times to come."""

    rules: tuple[str, ...]
    deadlines: tuple[AnnouncedTime, ...]


class PostFacts(WireValue):
    """Further facts about a post that are stored with it.

    Attributes:
        left: code -> number of parts that were not read and are not requested again.
    """

    left: Mapping[str, Int64]


class CommittedPost(WireValue):
    """A post whose parts were read.

    Attributes:
        id, version, address, fields: as in `ListedPost`.
        page_fields: fields of its own page; empty if no page was read.
        announced: by its text.
        facts: what else is stored.
        parts: replies on its pages, examined now or before, and files that need not be requested again.
        revisited: it is known, and was read again although its listing shows no change.
        last_page: value of {page} or {offset} of the last page that was read; 0 if it has none.
    """

    id: str
    version: str
    address: str
    fields: Mapping[str, Any] = FIELDS
    page_fields: Mapping[str, Any] = PAGE_FIELDS
    announced: Announcements
    facts: PostFacts
    parts: tuple[PostPart, ...]
    last_page: Int64
    revisited: bool


class LinkedPost(WireValue):
    """A post of another source (`source`), to which a link leads; the other attributes are as in `ListedPost`."""

    source: str
    id: str
    version: str
    address: str
    due: Base64 = Field(repr=False)


class LinkedHost(WireValue):
    """A host to which a post links, and that its source does not declare.

    Attributes:
        id: keyed. sealed: its name, by `crawler.pages.post_identity.seal_host`.
        files: number of addresses there that end in the name of a data file.
    """

    id: str
    sealed: Base64 = Field(repr=False)
    files: Int64


class Failure(WireValue):
    """Why a post stays due: a code of `crawler.transport.errors.Trouble`, and one sentence."""

    code: str
    detail: str


class CommitFrame(_Report):
    """One post with the findings of all its parts; the runner stores all of it in one transaction.

    Attributes:
        findings: one for each sample, in the order in which they were read.
        failed: why the post stays due; None if all of it was read.
        links: posts of other sources that it leads to. hosts: to which it links, and that nobody asked for.
        previews: number of a finding -> id of the event of the preview of its sample.
    """

    frame: Literal["commit"] = "commit"
    post: CommittedPost
    findings: tuple[FindingJson, ...]
    failed: Failure | None
    links: tuple[LinkedPost, ...]
    hosts: tuple[LinkedHost, ...]
    previews: Mapping[int, str] = Field(validation_alias="early", serialization_alias="early")

    @model_validator(mode="after")
    def _previews_are_of_findings(self) -> Self:
        if not all(0 <= number < len(self.findings) for number in self.previews):
            raise ValueError("a preview belongs to a finding that does not exist")
        return self


class PostReference(WireValue):
    """Which post a preview belongs to: keyed id and version, masked address."""

    id: str
    version: str
    address: str


class FileListPreview(WireValue):
    """The files of a body, known before the body is downloaded; see `crawler.preview.file_list`.

    Attributes:
        how: `zip`, `7z`, `7z, locked` (its names are encrypted), `torrent` or `listing`.
        complete: whether it names every file.
        files: per file, fingerprint of size and checksum, fingerprint of size and name, and size; encoded by
            `data.hashing.file_fingerprints.encode_fingerprints`.
        fetched: bytes that were fetched for it. total: size of the body, 0 if it is not known.
    """

    how: str
    complete: bool
    files: str
    fetched: Int64
    total: Int64


class PreviewFrame(Question[PreviewAnswer]):
    """The preview of the files of one body of a post."""

    frame: Literal["early"] = "early"
    post: PostReference
    preview: FileListPreview = Field(validation_alias="look", serialization_alias="look")

    def read_answer(self, payload: bytes) -> PreviewAnswer | Lost:
        """The id of its event."""
        return _read_either(PreviewAnswer, payload)


class PageProblem(WireValue):
    """What is wrong with a page of a source: one sentence, and which page (from 1; 0 if it is about none)."""

    message: str = Field(validation_alias="said", serialization_alias="said")
    page: Int64


class SourceChangedFrame(_Report):
    """A problem that a reader had with the pages of a source, or with a rule of its incident; `subject` names what."""

    frame: Literal["event"] = "event"
    kind: Literal["source_changed"]
    subject: str
    facts: PageProblem


class RowsFrame(_Report):
    """For mode `check`: the posts of the first page of the listing, for a person to read.

    Attributes:
        posts: `data.model.Post` as JSON, with `id` as the site gives it. problems: sentences "code: what happened".
        rows, dropped: rows that were found, and rows that the definition's `drop` left out.
    """

    frame: Literal["rows"] = "rows"
    posts: tuple[Mapping[str, Any], ...]
    problems: tuple[str, ...]
    rows: Int64
    dropped: Int64


class OpenedPage(WireValue):
    """One page of a post that a check opened: what the rules found on it, and whether it names a next page."""

    parts: Int64
    characters: Int64
    files: Int64
    next: bool


class OpenedPost(WireValue):
    """A post that a check opened.

    Attributes:
        native: the site's own id. url: its address.
        state: `ok`, `empty` if the rules found no text, or the code of a trouble. problem: one sentence, '' for none.
        pages: that were read. size: bytes of a post that is a file.
    """

    native: str
    url: str
    state: str
    problem: str
    pages: tuple[OpenedPage, ...]
    size: Int64


class OpenedFrame(_Report):
    """For mode `check`: two posts of the listing, opened as a crawl would open them."""

    frame: Literal["opened"] = "opened"
    posts: tuple[OpenedPost, ...]


class Proposed(WireValue):
    """One way to read a page; attributes as of `crawler.pages.proposal.Proposal`."""

    platform: str
    why: str
    keys: Mapping[str, Any]
    boards: tuple[str, ...]


class ProposedFrame(_Report):
    """For mode `look`: the ways to read a page, the best first, its address, and sentences for the person who asked."""

    frame: Literal["proposed"] = "proposed"
    url: str
    proposals: tuple[Proposed, ...]
    notes: tuple[str, ...]


class EndFrame(_Report):
    """The crawl has ended.

    Attributes:
        counts: of posts (`listed`, `new`, `changed`, `examined`, `unexamined`), of `resumed` downloads, of `refused`
            and of all `requests`; empty if the crawl did not begin.
        hosts: host that the source does not declare -> requests to it that were refused.
        code, error: why it failed, a word and a sentence; '' if it did not.
        robots: robots.txt files of the source, sealed, for the next crawl; b"" for none.
    """

    frame: Literal["end"] = "end"
    state: Literal["done", "failed"]
    counts: Mapping[str, Int64]
    hosts: Mapping[str, Int64]
    code: str
    error: str
    robots: Base64 = Field(repr=False)


AnyQuestion = (
    TurnFrame
    | ListedFrame
    | PartsFrame
    | WalkedFrame
    | PagesFrame
    | PageFrame
    | CommitFrame
    | PreviewFrame
    | SourceChangedFrame
    | RowsFrame
    | OpenedFrame
    | ProposedFrame
    | EndFrame
)
_QUESTIONS: TypeAdapter[AnyQuestion] = TypeAdapter(Annotated[AnyQuestion, Field(discriminator="frame")])


def read_question(payload: bytes) -> AnyQuestion:
    """The question that a crawl process sent.

    Raises:
        WireError: it is not one of the questions of this module, or it is malformed.
    """
    try:
        return _QUESTIONS.validate_json(payload)
    except ValidationError as error:
        raise malformed("question", error) from None
