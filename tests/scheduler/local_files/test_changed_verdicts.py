"""A release that the team registers changes the verdict on an earlier leak, and its thread says so."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

from data.tagsets.elias_fano import EliasFanoSet
from scheduler.local_files.changed_verdicts import share_of_tags
from tests.inside import fine, run
from tests.servers.strict_chats import slack
from tests.servers.webhook import Webhook
from tests.synth.people import people, to_csv


@pytest.mark.servers
@pytest.mark.slow
def test_a_leak_whose_people_are_registered_later_is_told_to_be_known(tmp_path):
    home, crowd = tmp_path / "home", people(9, 80)
    fine(None, "init", home)
    enrolled, dump, half = tmp_path / "c.csv", tmp_path / "dump.csv", tmp_path / "half.csv"
    enrolled.write_bytes(to_csv(crowd[:5]))
    dump.write_bytes(to_csv(crowd[:60]))
    half.write_bytes(to_csv(crowd[30:]))
    bundle = tmp_path / "c.bundle"
    key = home / "keys" / "enrol.key"
    fine(None, "canary", "enrol", "--key", key, "--client", "p1", enrolled, "--out", bundle)
    fine(home, "canary", "import", bundle)
    with Webhook([slack]) as chat:
        (home / "tocsin.toml").write_text(f'[channels.team]\nkind = "slack"\nurl = "{chat.url}/x"\n')
        assert run(home, "scan", "--record", dump).returncode == 1
        assert "holds people of 1 earlier leak" in fine(home, "release", "add", "--name", "half", half).stdout
        fine(home, "release", "add", "--name", "whole", dump)
    first, part, whole = (json.loads(request.body)["text"] for request in chat.received)
    assert "60 people not seen before" in first
    told = re.search(r"Verdict changed: about ([\d.]+)% of the people of this data are in the release half", part)
    assert told is not None
    assert 40 < float(told[1]) < 65, "30 of 60 people, by their record keys"
    assert "Verdict changed: all people of this data are in the release whole" in whole
    assert "Belongs to: " in whole
    events = fine(home, "event", "list", "--json").json["events"]
    assert {event["thread"] for event in events} == {"", events[-1]["id"]}


@pytest.mark.parametrize(("shared", "expected"), [(0, 0.0), (1, 0.0), (5, 0.05), (60, 0.6), (100, 1.0)])
def test_a_match_of_truncated_tags_that_chance_explains_is_no_share(shared, expected):
    random = np.random.default_rng(5)
    tags = random.integers(0, 2**63, 100, np.uint64) * np.uint64(2)
    strangers = random.integers(0, 2**63, 2_000_000, np.uint64)
    small = EliasFanoSet.build(tags, 32)
    # those of the strangers that agree with a tag by chance are left out, so that the number is exact
    strangers = strangers[~np.isin(strangers >> np.uint64(32), tags >> np.uint64(32))]
    large = EliasFanoSet.build(np.concatenate([strangers, tags[:shared]]), 44)
    assert share_of_tags(small, large) == expected
