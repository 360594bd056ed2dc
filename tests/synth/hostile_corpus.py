"""All hostile samples under one roof: by name, by the classes of attack that must be among them, and the slow ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from tests.synth import (
    hostile,
    hostile_containers,
    hostile_encodings,
    hostile_office,
    hostile_pages,
    hostile_sql,
    hostile_structured,
    hostile_tables,
    hostile_text,
)
from tests.synth.hostile import Hostile

_AREAS: tuple[tuple[str, Mapping[str, object], Callable[..., Hostile]], ...] = (
    ("plain", hostile.MAKERS, hostile.hostile),
    ("containers", hostile_containers.MAKERS, hostile_containers.hostile_container),
    ("encodings", hostile_encodings.MAKERS, hostile_encodings.hostile_encoding),
    ("office", hostile_office.MAKERS, hostile_office.hostile_document),
    ("pages", hostile_pages.MAKERS, hostile_pages.hostile_page),
    ("sql", hostile_sql.MAKERS, hostile_sql.hostile_sql),
    ("structured", hostile_structured.MAKERS, hostile_structured.hostile_structured),
    ("tables", hostile_tables.MAKERS, hostile_tables.hostile_table),
    ("text", hostile_text.MAKERS, hostile_text.hostile_text),
)
CORPUS: dict[str, Callable[[], Hostile]] = {
    f"{area}-{name}": partial(make, name) for area, makers, make in _AREAS for name in makers
}

# Each class of attack that must be met, and samples that are of it.
CLASSES: Mapping[str, tuple[str, ...]] = {
    "ratio bomb of gzip": ("plain-gzip_bomb", "containers-gzip_of_many_streams"),
    "ratio bomb of bzip2": ("containers-bzip2_bomb",),
    "ratio bomb of xz": ("containers-xz_bomb",),
    "ratio bomb of lzma": ("containers-lzma_bomb",),
    "ratio bomb of lzip": ("encodings-lzip_bomb",),
    "ratio bomb of zstd": ("containers-zstd_bomb", "containers-zstd_bomb_of_runs"),
    "ratio bomb of brotli": ("containers-brotli_bomb",),
    "ratio bomb of lz4": ("containers-lz4_bomb",),
    "ratio bomb of compress": ("encodings-compress_bomb",),
    "ratio bomb of 7z": ("containers-seven_zip_bomb",),
    "ratio bomb of zip, by every method": ("containers-zip_bombs_of_every_method",),
    "ratio bomb of PDF streams": ("office-pdf_bomb", "office-pdf_bomb_in_a_page"),
    "ratio bomb of Parquet": ("office-parquet_bomb",),
    "ratio bomb through layers": ("containers-bomb_through_all_layers", "plain-bomb_in_layers"),
    "overlapped zip": ("containers-twenty_thousand_over_one", "containers-quoted_overlap", "plain-overlapping_entries"),
    "nested zip": ("containers-sixteen_to_the_third", "containers-sixteen_to_the_sixth", "plain-deep_nesting"),
    "300,000 entries": ("containers-three_hundred_thousand",),
    "traversal, absolute and bidi names": ("containers-tar_names", "containers-zip_names", "plain-strange_names"),
    "symlinks and devices": ("containers-tar_links_and_devices", "containers-zip_device"),
    "claims of 8 EiB": (
        "containers-zip64_of_eight_exbibytes",
        "containers-stored_zip64",
        "containers-tar_of_eight_exbibytes",
        "containers-zstd_of_eight_exbibytes",
        "containers-seven_zip_of_sizes",
    ),
    "endless lines": ("plain-one_endless_line", "structured-hl7_without_ends", "encodings-eight_million_spaces"),
    "unclosed quotes": ("plain-quote_never_closed", "structured-json_a_quote_never_closed"),
    "2 M columns": ("encodings-two_million_columns", "encodings-two_million_names_of_columns"),
    "deep JSON": ("plain-deep_json", "structured-json_deep", "structured-json_deep_and_open"),
    "deep XML": ("structured-xml_deep", "structured-xml_deep_and_open"),
    "entity bombs": ("structured-xml_billion_laughs", "structured-xml_quadratic", "office-billion_laughs"),
    "xlsx with giant dimensions": ("office-giant_dimensions", "office-places_beyond_all_sheets"),
    "PDF streams": ("office-pdf_filters", "office-pdf_streams_that_are_none"),
    "SQL with unbalanced quotes": ("sql-unclosed_quotes_everywhere", "sql-an_unclosed_string"),
    "lone surrogates": ("plain-lone_surrogates", "encodings-surrogates_alone_in_utf16"),
    "NULs": ("plain-nul_bytes", "encodings-nul_between_all_lines"),
    "UTF-7": ("encodings-utf7", "encodings-utf7_in_a_page", "encodings-utf7_in_mail"),
    "BOM tricks": ("encodings-two_marks", "encodings-a_mark_of_utf16_before_utf8", "encodings-a_mark_before_a_zip"),
}
# Over 0.25 s in a test that reads three times.
SLOW = frozenset(
    {
        "containers-beginnings_of_archives",
        "containers-sixteen_to_the_sixth",
        "containers-sixteen_to_the_third",
        "containers-three_hundred_thousand",
        "containers-zip_bombs_of_every_method",
        "encodings-ten_thousand_read",
        "office-pdf_bomb",
        "office-pdf_bomb_in_a_page",
        "office-repeated_cells",
        "office-sheet_bomb",
        "office-string_bomb",
        "office-text_bomb",
        "office-thousands_of_styles",
        "plain-bomb_in_layers",
        "plain-damage_in_the_middle",
        "plain-deep_json",
        "plain-ragged_rows",
        "plain-zip_bomb_before_the_canary",
        "sql-comments_inside_tables",
        "sql-unclosed_double_quotes",
        "sql-a_new_table_in_every_statement",
        "sql-rows_of_every_width",
        "sql-strings_inside_tables",
        "sql-tables_inside_tables",
        "sql-very_many_columns",
        "structured-hl7_of_many_repetitions",
        "structured-json_a_matrix",
        "structured-json_an_endless_string_of_quotes",
        "structured-json_an_object_under_many_ids",
        "structured-json_deep",
        "structured-json_deep_and_open",
        "structured-vcard_of_many_numbers",
        "structured-xml_deep",
        "structured-xml_deep_and_open",
        "structured-xml_deep_running_text",
        "structured-xml_of_many_children",
        "text-a_hundred_thousand_parts",
        "text-a_mailbox_of_separators",
        "text-endless_headers",
        "text-wide_row",
    }
)
# Where a limit on members ends the sample, what was taken of it is a matter of the pieces.
BY_PIECES = frozenset({"containers-three_hundred_thousand", "text-a_hundred_thousand_parts"})
# Where one reading is dear enough.
ONCE = frozenset({"containers-beginnings_of_archives", "office-pdf_bomb_in_a_page"})
