from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crawler.examiner.kernel_warmup import warm_up_tags
from crawler.pages.post_identity import open_host, seal_host
from data.arrays import jit, packed_kernels
from data.arrays.packed import Packed, pair_packed
from data.errors import KeyFileError, WireError
from data.hashing import case_keys, hash_kernels, tags
from data.hashing.case_keys import EnrolKeys, MatchKey
from data.hashing.tags import RECORD_KINDS, VALUE_KINDS, Kind

SECRET = bytes(range(32))
KEYS = MatchKey(SECRET).derive()

# SipHash-2-4, key 00…0f, message 00 01 02 … of length 0 to 63 (vectors.h of the reference implementation)
VECTORS = bytes.fromhex(
    "310e0edd47db6f72 fd67dc93c539f874 5a4fa9d909806c0d 2d7efbd796666785 b7877127e09427cf 8da699cd64557618 "
    "cee3fe586e46c9cb 37d1018bf50002ab 6224939a79f5f593 b0e4a90bdf82009e f3b9dd94c5bb5d7a a7ad6b22462fb3f4 "
    "fbe50e86bc8f1e75 903d84c02756ea14 eef27a8e90ca23f7 e545be4961ca29a1 db9bc2577fcc2a3f 9447be2cf5e99a69 "
    "9cd38d96f0b3c14b bd6179a71dc96dbb 98eea21af25cd6be c7673b2eb0cbf2d0 883ea3e395675393 c8ce5ccd8c030ca8 "
    "94af49f6c650adb8 eab8858ade92e1bc f315bb5bb835d817 adcf6b0763612e2f a5c91da7acaa4dde 716595876650a2a6 "
    "28ef495c53a387ad 42c341d8fa92d832 ce7cf2722f512771 e37859f94623f3a7 381205bb1ab0e012 ae97a10fd434e015 "
    "b4a31508beff4d31 81396229f0907902 4d0cf49ee5d4dcca 5c73336a76d8bf9a d0a704536ba93e0e 925958fcd6420cad "
    "a915c29bc8067318 952b79f3bc0aa6d4 f21df2e41d4535f9 87577519048f53a9 10a56cf5dfcd9adb eb75095ccd986cd0 "
    "51a9cb9ecba312e6 96afadfc2ce666c7 72fe52975a4364ee 5a1645b276d592a1 b274cb8ebf87870a 6f9bb4203de7b381 "
    "eaecb2a30b22a87f 9924a43cc1315724 bd838d3aafbf8db7 0b1a2a3265d51aea 135079a3231ce660 932b2846e4d70666 "
    "e1915f5cb1eca46c f325965ca16d629f 575ff28e60381be5 724506eb4c328a95"
)

quick = settings(deadline=None, max_examples=60)
values = st.binary(max_size=200)


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    warm_up_tags()


# --- kinds -----------------------------------------------------------------------------------------------------------


def test_kinds_have_the_numbers_and_words_that_files_and_json_contain():
    assert {kind.word: int(kind) for kind in Kind} == {
        "email": 1,
        "phone": 2,
        "nir": 3,
        "iban": 4,
        "professional": 5,
        "token": 6,
        "name+address": 7,
        "name+dob": 16,
        "nir+first": 17,
        "nir+dob": 18,
        "email+first": 19,
        "phone+first": 20,
        "phone+dob": 21,
    }
    assert (*VALUE_KINDS, *RECORD_KINDS) == tuple(Kind)
    assert RECORD_KINDS[0] is Kind.NAME_DOB


# --- keys ------------------------------------------------------------------------------------------------------------


def test_keys_are_derived_by_hkdf_and_differ_from_each_other():
    # HKDF as in RFC 5869, computed with the standard library
    extracted = hmac.digest(b"tocsin match key 1", SECRET, "sha256")
    assert KEYS.probe == hmac.digest(extracted, b"probe\x01", "sha256")[:16]
    assert KEYS.confirm == hmac.digest(extracted, b"confirm\x01", "sha256")
    assert KEYS.case == hmac.digest(extracted, b"case\x01", "sha256")[:8].hex()
    assert len({KEYS.probe, KEYS.confirm[:16], KEYS.bundle[:16], KEYS.post[:16]}) == 4
    assert (len(KEYS.probe), len(KEYS.confirm), len(KEYS.bundle), len(KEYS.post)) == (16, 32, 32, 32)


def test_tags_of_one_value_under_two_keys_have_nothing_in_common():
    """Tags are useless without the key that made them: the tags of the same values under another key are others."""
    values = [f"p{number}@mail.example".encode() for number in range(1000)]
    other = MatchKey(bytes(range(1, 33))).derive()
    made = [{tags.probe_tag(keys.probe, Kind.EMAIL, value) for value in values} for keys in (KEYS, other)]
    assert [len(each) for each in made] == [1000, 1000]
    assert made[0].isdisjoint(made[1])
    assert tags.confirm_digest(KEYS.confirm, Kind.EMAIL, values[0]) != tags.confirm_digest(
        other.confirm, Kind.EMAIL, values[0]
    )


def test_the_enrolment_key_makes_tags_and_opens_nothing():
    """A client that holds it makes the tags of the case, and opens no address of a post with any of its keys."""
    held = case_keys.parse_enrol_key(case_keys.format_enrol_key(KEYS))
    assert tags.probe_tag(held.probe, Kind.EMAIL, b"a@b.example") == tags.probe_tag(
        KEYS.probe, Kind.EMAIL, b"a@b.example"
    )
    sealed = seal_host(KEYS.post, "site.example")
    assert open_host(KEYS.post, sealed) == "site.example"
    assert {each.name for each in dataclasses.fields(held)} == {"case", "probe", "confirm", "bundle"}
    for key in (held.confirm, held.bundle, (held.probe * 2)[:32]):
        with pytest.raises(WireError):
            open_host(key, sealed)


def test_no_repr_shows_a_key():
    for keys in (MatchKey(SECRET), KEYS, KEYS.enrol, Packed.of([b"secret"])):
        shown = repr(keys)
        for hidden in (SECRET, KEYS.probe, KEYS.confirm, KEYS.bundle, KEYS.post, b"secret"):
            assert repr(hidden)[2:-1] not in shown
            assert hidden.hex() not in shown
    assert KEYS.case in repr(KEYS)


def test_a_written_key_file_is_read_back_unchanged():
    read = case_keys.parse_match_key(case_keys.format_match_key(MatchKey(SECRET)))
    assert case_keys.format_match_key(read) == case_keys.format_match_key(MatchKey(SECRET))
    text = case_keys.format_enrol_key(KEYS)
    assert case_keys.parse_enrol_key(text) == KEYS.enrol
    assert case_keys.format_enrol_key(KEYS.enrol) == text
    assert case_keys.parse_enrol_key(text.replace("\n", "\r\n")) == KEYS.enrol
    assert base64.b64encode(KEYS.post).decode() not in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("hello", "not a match key file"),
        ("tocsin-match-key-1", "not a match key file"),
        ("tocsin-match-key-2 AAAA", "not a match key file"),
        ("tocsin-match-key-1 !!!", "not base64"),
        ("tocsin-match-key-1 é", "not base64"),
        ("tocsin-match-key-1 AAAA", "32 bytes"),
        (case_keys.format_enrol_key(KEYS), "enrolment key"),
    ],
)
def test_a_wrong_match_key_file_is_refused_with_a_hint(text, message):
    with pytest.raises(KeyFileError, match=message) as caught:
        case_keys.parse_match_key(text)
    assert caught.value.hint


@given(st.data())
@quick
def test_a_damaged_enrolment_key_is_refused_and_never_shown(data):
    text = case_keys.format_enrol_key(KEYS)
    at = data.draw(st.integers(0, len(text) - 1))
    char = data.draw(st.sampled_from("AZaz09+/=\n ~é"))
    how = data.draw(st.sampled_from(["change", "cut", "insert"]))
    damaged = {"change": text[:at] + char + text[at + 1 :], "cut": text[:at], "insert": text[:at] + char + text[at:]}[
        how
    ]
    if damaged.split() == text.split():
        assert (
            case_keys.parse_enrol_key(damaged) == KEYS.enrol
        )  # whitespace that is lost or added between lines is no damage
        return
    with pytest.raises(KeyFileError) as caught:
        case_keys.parse_enrol_key(damaged)
    assert caught.value.hint
    for line in text.splitlines()[2:]:
        assert line.split("=", 1)[1] not in str(caught.value)


def test_a_match_key_is_refused_as_an_enrolment_key():
    with pytest.raises(KeyFileError, match="must never leave"):
        case_keys.parse_enrol_key(case_keys.format_match_key(MatchKey(SECRET)))


def test_an_enrolment_key_of_wrong_lengths_is_refused():
    short = EnrolKeys(KEYS.case, KEYS.probe[:8], KEYS.confirm, KEYS.bundle)
    with pytest.raises(KeyFileError, match="wrong length"):
        case_keys.parse_enrol_key(case_keys.format_enrol_key(short))


# --- hashes ----------------------------------------------------------------------------------------------------------


def test_siphash_gives_the_published_vectors():
    key = bytes(range(16))
    assert b"".join(tags.siphash(key, bytes(range(n))).to_bytes(8, "little") for n in range(64)) == VECTORS


def test_batch_siphash_gives_the_published_vectors():
    # The kind byte is byte 0 of the message; messages of length 0 and 1 would have no value.
    packed = Packed.of([bytes(range(1, n)) for n in range(2, 64)])
    assert tags.probe_tags(bytes(range(16)), 0, packed).astype("<u8").tobytes() == VECTORS[16:]


def test_only_an_absent_value_has_the_tag_zero():
    assert tags.probe_tag(KEYS.probe, 1, b"") == 0
    assert tags.probe_tags(KEYS.probe, 1, Packed.of([b"", b"a", b""])).astype(bool).tolist() == [False, True, False]


@given(st.binary(min_size=16, max_size=16), st.lists(st.tuples(st.sampled_from(Kind), values), max_size=20))
@quick
def test_batch_tags_and_digests_equal_those_of_single_values(key, items):
    packed = Packed.of([value for _, value in items])
    kinds = np.array([kind for kind, _ in items], np.uint8)
    assert tags.probe_tags(key, kinds, packed).tolist() == [tags.probe_tag(key, *item) for item in items]
    digests = tags.confirm_digests(key * 2, kinds, packed)
    assert digests.shape == (len(items), 16)
    assert [row.tobytes() for row in digests] == [tags.confirm_digest(key * 2, *item) for item in items]


@pytest.mark.parametrize("length", [0, 1, 54, 55, 56, 62, 63, 64, 118, 119, 120, 127, 128, 1000])
def test_batch_digests_equal_hmac_at_every_block_border(length):
    value = bytes(i % 251 for i in range(length))
    expected = hmac.new(KEYS.confirm, b"\x03" + value, hashlib.sha256).digest()[:16]
    assert tags.confirm_digests(KEYS.confirm, Kind.NIR, Packed.of([value, b"next"]))[0].tobytes() == expected


def test_the_same_value_of_two_kinds_has_two_tags():
    assert tags.probe_tag(KEYS.probe, Kind.PHONE, b"123456789") != tags.probe_tag(KEYS.probe, Kind.NIR, b"123456789")


def test_kinds_of_another_length_than_the_values_are_refused():
    with pytest.raises(ValueError, match="one kind"):
        tags.probe_tags(KEYS.probe, np.zeros(2, np.uint8), Packed.of([b"a"]))


# --- record keys -----------------------------------------------------------------------------------------------------


parts = st.one_of(st.binary(max_size=12), st.binary(min_size=29, max_size=80))
people = st.lists(st.lists(parts, min_size=6, max_size=6), max_size=20)


@given(people)
@quick
@pytest.mark.slow
def test_record_keys_of_columns_equal_those_of_single_people(rows):
    columns = [Packed.of([row[i] for row in rows]) for i in range(6)]
    keys = tags.record_keys(KEYS.probe, *columns)
    assert keys.shape == (len(rows), 6)
    for row, got in zip(rows, keys, strict=True):
        wanted = {kind: tags.probe_tag(KEYS.probe, kind, value) for kind, value in tags.record_inputs(*row)}
        assert got.tolist() == [wanted.get(kind, 0) for kind in RECORD_KINDS]


def test_swapped_name_columns_give_the_same_record_key():
    a, b, dob = Packed.of([b"martin"]), Packed.of([b"paul"]), Packed.of([b"750312"])
    assert tags.record_keys(KEYS.probe, a, b, dob)[0, 0] == tags.record_keys(KEYS.probe, b, a, dob)[0, 0] != 0


def test_absent_columns_give_no_record_keys():
    dob, phone = Packed.of([b"750312", b""]), Packed.of([b"612345678"] * 2)
    keys = tags.record_keys(KEYS.probe, dob=dob, phone=phone)
    assert (keys != 0).tolist() == [[False] * 5 + [True], [False] * 6]
    assert tags.record_keys(KEYS.probe).shape == (0, 6)
    with pytest.raises(ValueError, match="different lengths"):
        tags.record_keys(KEYS.probe, dob=dob, phone=Packed.empty(3))
    with pytest.raises(ValueError, match="not a record key"):
        tags.record_input(Kind.EMAIL, b"a", b"b")


# --- compiled code ---------------------------------------------------------------------------------------------------


def test_writable_arrays_need_no_second_compilation():
    value = Packed(np.frombuffer(bytearray(b"abcd"), np.uint8)[::2], np.array([0, 1, 2], np.int32))
    assert value.to_list() == [b"a", b"c"]
    tags.confirm_digests(KEYS.confirm, np.full(2, Kind.TOKEN, np.uint8), value)
    pair_packed(value, Packed.of([b"x", b"y"]))
    tags.probe_tags(KEYS.probe, Kind.TOKEN, value)
    for compiled in (hash_kernels.confirm_digests_loop, packed_kernels.join_columns, hash_kernels.probe_tags_loop):
        assert len(compiled.signatures) == 1


_RUN = "from data.arrays import jit; print(jit.CACHED, __import__('os').environ['NUMBA_CACHE_DIR'])"


@pytest.mark.slow
def test_compiled_code_is_cached_in_the_users_cache_folder(tmp_path):
    environment = {"XDG_CACHE_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True)
    cached, folder = ran.stdout.split()
    assert cached == "True"
    assert Path(folder).parent == tmp_path / "tocsin" / "numba"
    assert Path(folder).stat().st_mode & 0o777 == 0o700
    # a child process that inherits the environment uses the same folder
    environment["NUMBA_CACHE_DIR"] = folder
    ran = subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", folder]


@pytest.mark.slow
def test_only_the_last_few_versions_of_compiled_code_are_kept(tmp_path):
    old = [tmp_path / f"{number:016x}" for number in range(10)]
    for path in [*old, tmp_path / "unrelated folder"]:
        path.mkdir()
    environment = {"NUMBA_CACHE_DIR": str(tmp_path), "PATH": "/usr/bin:/bin"}
    subprocess.run([sys.executable, "-c", _RUN], env=environment, capture_output=True, check=True)
    left = {path for path in tmp_path.iterdir() if path.is_dir()}
    assert tmp_path / "unrelated folder" in left
    assert len(left & set(old)) == jit.KEPT_VERSIONS - 1
    assert len(left) == jit.KEPT_VERSIONS + 1


@pytest.mark.slow
def test_without_a_writable_cache_the_kernels_still_run_and_a_warning_is_logged(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    code = (
        "from data.arrays import packed; from data.hashing import tags; "
        "print(tags.probe_tags(bytes(16), 1, packed.Packed.of([b'a'])).all())"
    )
    environment = {"XDG_CACHE_HOME": str(blocked), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"
    assert "NUMBA_CACHE_DIR" in ran.stderr


@pytest.mark.slow
def test_normalising_single_values_loads_neither_numpy_nor_numba():
    code = (
        "import data.identifiers.normalise as n, sys; n.dob('12/03/1975'); print({'numpy', 'numba'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize("compress", [hash_kernels.compress_portable, hash_kernels.compress_with_instructions])
@given(message=st.binary(max_size=55))
@settings(deadline=None, max_examples=50)
@pytest.mark.slow
def test_both_implementations_compute_sha256(compress, message):
    if compress is hash_kernels.compress_with_instructions and not hash_kernels.sha256_instructions.AVAILABLE:
        assert hash_kernels._compress is hash_kernels.compress_portable
        return
    block = np.zeros(64, np.uint8)
    block[: len(message)] = np.frombuffer(message, np.uint8)
    block[len(message)] = 0x80
    block[56:] = np.frombuffer((8 * len(message)).to_bytes(8, "big"), np.uint8)
    state = hash_kernels._INITIAL.copy()
    compress(state, block, np.zeros(64, np.uint32))
    assert state.astype(">u4").tobytes() == hashlib.sha256(message).digest()
