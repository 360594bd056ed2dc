from __future__ import annotations

import numpy as np

from crawler.examiner.table_marks import PEOPLE_SAMPLE, TableMarks
from crawler.records.column_roles import plan_columns
from crawler.records.record_keys import tag_rows
from crawler.records.row_batch import RowBatch
from data.hashing.tags import RECORD_KINDS, Kind, probe_tag
from data.releases.known_releases import KnownReleases

KEY = bytes(range(16))


def test_marks_of_record_ids_are_those_that_releases_hold():
    """Releases of earlier versions hold these tags: a mark that is made otherwise would agree with none of them."""
    header = ["id_patient", "nom", "prenom", "date_naissance"]
    people = [
        (f"Martin{chr(97 + at % 26)}{chr(97 + at // 26)}", f"{1 + at % 28:02d}/03/{1930 + at % 80}")
        for at in range(400)
    ]
    ids = ["", " 17 ", "\t", "A-3\u00e9"] + [str(10**at % 10**9 + at) for at in range(4, 400)]
    batch = RowBatch.of([(each, name, "Jeanne", born) for each, (name, born) in zip(ids, people, strict=True)])
    plan = plan_columns(header, batch.sample(200))
    keys = tag_rows(plan, batch, KEY).keys
    marks = TableMarks(KEY, KnownReleases({}))
    marks.add_ids(plan, batch, keys, np.zeros(keys.shape, np.bool_))
    of_kind = keys[:, RECORD_KINDS.index(Kind.NAME_DOB)].tolist()
    expected = [
        probe_tag(KEY, Kind.TOKEN, b"\x1did\x1d" + cell.strip().encode() + b"|%x" % key)
        for cell, key in zip(ids, of_kind, strict=True)
        if cell.strip() and key % PEOPLE_SAMPLE == 0
    ]
    assert len(expected) > 20
    assert marks.state()["ids"].tolist() == expected
