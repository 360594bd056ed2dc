"""The rows of a listing that are parts of one file become one post."""

from __future__ import annotations

from crawler.preview.divided_posts import AddressedVolumes, group_addresses, join_posts
from data.model import Post

SITE = "http://files.example/drop"


def row(name: str, size: str = "9") -> Post:
    url = f"{SITE}/{name}"
    return Post("site", f"/drop/{name}", url, raw=url, title=name, fields={"size": size})


def test_parts_become_the_post_of_the_first_part_and_other_rows_stay() -> None:
    posts = join_posts([row("a.txt"), row("b.zip"), row("b.z01"), row("z.csv"), row("b.z02")])
    assert [post.title for post in posts] == ["a.txt", "b.z01", "z.csv"]
    assert posts[1].attachments == (f"{SITE}/b.z02", f"{SITE}/b.zip")


def test_a_part_that_is_added_or_changes_changes_the_post() -> None:
    def fields(*rows: Post) -> object:
        [post] = join_posts(rows)
        return dict(post.fields), post.attachments

    two = fields(row("b.7z.001"), row("b.7z.002"))
    assert two != fields(row("b.7z.001"), row("b.7z.002"), row("b.7z.003"))
    assert two != fields(row("b.7z.001"), row("b.7z.002", "10"))


def test_parts_in_different_folders_are_not_joined() -> None:
    addresses = [f"{SITE}/one/x.7z.001", f"{SITE}/two/x.7z.002?token=1"]
    grouped = group_addresses(addresses)
    assert [each.addresses for each in grouped if isinstance(each, AddressedVolumes)] == [
        (addresses[0],),
        (addresses[1],),
    ]
    assert [each.missing for each in grouped if isinstance(each, AddressedVolumes)] == [(), (1,)]


def test_files_that_are_one_table_become_one_post_under_their_own_names() -> None:
    names = ["a.dbf", "PATIENTS.DBF", "patients.fpt", "t.MYD", "t.MYI", "t.frm", "u.frm", "z.fpt"]
    assert [post.title for post in join_posts(list(map(row, names)))] == [
        "a.dbf",
        "PATIENTS.DBF",
        "t.MYD",
        "u.frm",
        "z.fpt",
    ]
    found = [
        each for each in group_addresses([f"{SITE}/{name}" for name in names]) if isinstance(each, AddressedVolumes)
    ]
    assert [each.shown for each in found] == [("PATIENTS.DBF", "patients.fpt"), ("t.MYD", "t.MYI", "t.frm")]
