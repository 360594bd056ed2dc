"""The self-test of the examiner: a planted person in a small archive passes through the whole examination.

A monitor can fail silently: a reader that reads nothing, tags that match nothing and a damaged watch-list all look like
"nothing found". The self-test finds these faults, because the planted person must be found beside the real watch-list,
whose files and those of the releases are read whole and compared with their checksums. It changes nothing;
`scheduler.delivery.lasting_states` runs it.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from data.arrays.packed import Packed
from data.case.watchlist import ENTRY_DTYPE, Watchlist
from data.errors import ConfigError, ExamineError, StoreError
from data.hashing.case_keys import Keys, keyed_digest
from data.hashing.tags import Kind, confirm_digests, probe_tags, record_inputs
from data.identifiers import normalise
from data.model import Finding
from data.releases.known_releases import KnownReleases

if TYPE_CHECKING:
    from crawler.examiner.examination import Examiner

CLIENT = "self-test"
# So many entries of the real watch-list are looked up in each run.
LOOKED_UP_ENTRIES = 1000
_SURNAME, _FIRST, _DOB = "Veilleur-Tocsin", "Épreuve", "1901-02-03"


def run_self_test(examiner: Examiner) -> list[str]:
    """What is wrong with the examination from bytes to hits, as sentences; empty if everything works.

    Args:
        examiner: its keys, sandbox and watch-list are tested. Its findings and releases do not change.
    """
    wrong = _watchlist_faults(examiner.watchlist) + _release_faults(examiner.releases)
    finding = _examine_planted_sample(examiner)
    hits = {hit.client: hit for hit in finding.hits}
    problems = [*finding.problems, *(problem for member in finding.members for problem in member.problems)]
    if not finding.complete or problems:
        codes = sorted({problem.partition(":")[0] for problem in problems})
        wrong.append(f"the planted sample was not examined completely: {', '.join(codes) or 'no reason was given'}")
    if finding.rows != 2:
        wrong.append(f"the reader returned {finding.rows} rows instead of 2")
    if CLIENT not in hits:
        wrong.append("the planted canary was not found")
    else:
        missing = {"email", "name+dob"} - set(hits[CLIENT].kinds)
        if missing or hits[CLIENT].canaries != 1:
            wrong.append(f"the planted canary was found without its {', '.join(sorted(missing)) or 'number'}")
    return wrong


def plant_and_find(examiner: Examiner) -> str:
    """A keyed proof that a planted person is found by this examiner beside its watch-list; the same for the same list.

    Raises:
        ExamineError: the person was not found, or not completely.
    """
    finding = _examine_planted_sample(examiner)
    hit = next((hit for hit in finding.hits if hit.client == CLIENT), None)
    if not finding.complete or finding.rows != 2 or hit is None or not {"email", "name+dob"} <= set(hit.kinds):
        raise ExamineError("a planted person was not found: this machine finds nothing", hint="run: tocsin doctor")
    return keyed_digest(examiner.keys.post, b"planted", f"{finding.fingerprint} {hit.canaries}".encode())


def _email(keys: Keys) -> str:
    # unique to this case, in a domain that no mail server can have
    return f"self-test-{keys.case}@tocsin.invalid"


def _examine_planted_sample(examiner: Examiner) -> Finding:
    """Examine a zip with a table, with the real watch-list and the planted person beside it."""
    from crawler.examiner.examination import Examiner
    from crawler.examiner.sample_request import SampleRequest

    keys = examiner.keys
    table = f"nom;prenom;naissance;courriel\nMartin;Paul;1970-01-02;\n{_SURNAME};{_FIRST};{_DOB};{_email(keys)}\n"
    sample = io.BytesIO()
    with zipfile.ZipFile(sample, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("self-test.csv", table)
    watchlist = examiner.watchlist.with_client(_planted_entries(keys), CLIENT)
    trial = Examiner(keys, watchlist, KnownReleases({}), examiner.sandbox)
    return trial.examine(SampleRequest("self-test"), [sample.getvalue()], {"complete": True})


def _planted_entries(keys: Keys) -> NDArray[Any]:
    """The entries of the planted person, of dtype `ENTRY_DTYPE`, tagged as enrolment does it."""
    inputs = [
        (Kind.EMAIL, normalise.email(_email(keys))),
        *record_inputs(
            first=normalise.name(_FIRST), surname=normalise.name(_SURNAME), dob=normalise.dob(_DOB),
        ),
    ]  # fmt: skip
    kinds = np.array([kind for kind, _ in inputs], np.uint8)
    values = Packed.of([value for _, value in inputs])
    records = np.zeros(len(inputs), ENTRY_DTYPE)
    records["tags"], records["kinds"] = probe_tags(keys.probe, kinds, values), kinds
    records["digests"] = confirm_digests(keys.confirm, kinds, values)
    return records


def _watchlist_faults(watchlist: Watchlist) -> list[str]:
    """Sentences on files of the watch-list that are damaged or lost, and on entries that look-ups do not find."""
    try:
        watchlist.verify()
    except (StoreError, ConfigError) as error:
        return [str(error)]
    lost = watchlist.count_unreachable(LOOKED_UP_ENTRIES)
    return [f"{lost} entries of the watch-list are not found by their own tags"] if lost else []


def _release_faults(releases: KnownReleases) -> list[str]:
    """Sentences on files of releases that are damaged or lost."""
    try:
        releases.verify()
    except StoreError as error:
        return [str(error)]
    return []
