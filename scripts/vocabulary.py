"""Writes data/vocabulary.json, the closed vocabulary of process boundaries: `python scripts/vocabulary.py [--check]`.

It lists the names of formats, the codes of problems and the sentences about problems that stand in our own source code.
`data.vocabulary` reads it, so that no process stores or shows words that another process made up.
"""

from __future__ import annotations

import ast
import builtins
import errno
import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Packages whose sentences cross a process boundary.
PACKAGES = ("crawler", "spiders", "data", "scheduler/crawls", "scheduler/local_files")
LEFT_OUT = (
    "crawler/alerts",
    "crawler/records/word_classes",
    "crawler/records/column_roles",
    "data/identifiers",
    "data/store",
    "data/settings",
    "data/sources/",
)
# Functions and classes whose first argument is the code of a problem, and keywords that hold one.
CODE_ARGUMENTS = frozenset(
    ["problem", "problem_once", "Damaged", "Trouble", "SocksFailure", "failed", "add", "Failure", "_damaged"]
)
CODE = re.compile(r"[a-z][a-z0-9_-]{1,30}")
# A sentence has at least two words, and no character that only patterns and markup have.
SENTENCE = re.compile(r"(?=.*?[A-Za-z]{2,}[ ,;:.…]+[a-z(]|an? [A-Za-z0-9]+)[^\\\n\t|<>$^*\[\]~@]{8,400}")
CODE_AND_SENTENCE = re.compile(r"([a-z][a-z0-9_-]{1,30}): ")
SLOT = "\0"
# Classes of errors of libraries that readers and platforms may meet.
LIBRARY_ERRORS = (
    "ArchiveError ArrowCapacityError ArrowException ArrowInvalid ArrowIOError ArrowKeyError ArrowNotImplementedError"
    " ArrowSerializationError ArrowTypeError BadGzipFile BadZipFile DatabaseError DecodeError DependencyError"
    " EmptyFileError ExpatError FileNotDecryptedError IntegrityError InvalidTag JSONDecodeError JMESPathError"
    " LZMAError LimitReachedError MessageError NotSupportedError OperationalError ParseError ParserError PdfReadError"
    " PdfStreamError ReadError StreamError TarError ValidationError XMLSyntaxError XPathError ZstdError error"
)


def files() -> Iterator[Path]:
    """The source files whose sentences count."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            if not path.relative_to(ROOT).as_posix().startswith(LEFT_OUT):
                yield path


def _docstrings(tree: ast.Module) -> set[int]:
    return {
        id(each.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        for each in node.body
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)
    }


def texts_and_codes(tree: ast.Module) -> tuple[set[str], set[str]]:
    """The texts of one module, with NUL for each value in them, and the codes that it passes on."""
    skipped, texts, codes = _docstrings(tree), set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            skipped |= {id(part) for part in node.values}
            texts.add("".join(str(part.value) if isinstance(part, ast.Constant) else SLOT for part in node.values))
        elif isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            given = node.args[:1] if called in CODE_ARGUMENTS else []
            given += [each.value for each in node.keywords if each.arg == "code"]
            codes |= {each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)}
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Constant):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(each, ast.Name) and each.id == "code" for each in targets):
                codes.add(str(node.value.value))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in skipped:
            texts.add(node.value)
    return texts, {code for code in codes if CODE.fullmatch(code)}


def part_formats(trees: list[ast.Module]) -> set[str]:
    """The formats of parts of Office files, whose readers (`PackagePart`) are made where they are needed."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    parts = {
        node.name
        for node in nodes
        if isinstance(node, ast.ClassDef) and any(getattr(base, "id", "") == "PackagePart" for base in node.bases)
    }
    makers = [*parts, "PackagePart", "__init__"]
    return {
        node.args[0].value
        for node in nodes
        if isinstance(node, ast.Call)
        and getattr(node.func, "id", getattr(node.func, "attr", "")) in makers
        and node.args
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
        and CODE.fullmatch(node.args[0].value)
    }


def build() -> dict[str, list[str]]:
    """The vocabulary: sorted lists of words of a closed set."""
    import data.errors
    from crawler.lineage.field_errors import FIELDS
    from crawler.readers.core.registry import EMPTY, UNKNOWN, readers
    from crawler.tor import errors as tor
    from data.hashing.tags import Kind

    sentences: set[str] = set()
    office = [ast.parse(path.read_text()) for path in sorted((ROOT / "crawler/readers/office").glob("*.py"))]
    codes = {failure.code for failure in tor.SOCKS_FAILURES.values()} | set(tor.PERMANENT_CODES)
    codes |= {value for name, value in vars(tor).items() if name.isupper() and isinstance(value, str)}
    for path in files():
        texts, found = texts_and_codes(ast.parse(path.read_text()))
        codes |= found
        for text in texts:
            if match := CODE_AND_SENTENCE.match(text):
                codes.add(match[1])
                text = text[match.end() :]
            text = re.sub(r"^[; ]+", "", text).strip()
            if SENTENCE.fullmatch(text):
                sentences.add(text)
    errors = {name for name, kind in vars(builtins).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    ours = {name for name, kind in vars(data.errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    system = {os.strerror(number) for number in errno.errorcode}
    return {
        "formats": sorted({reader.FORMAT for reader in readers()} | {EMPTY, UNKNOWN} | part_formats(office)),
        "codes": sorted(codes | ours),
        "errors": sorted(errors | ours | set(LIBRARY_ERRORS.split()) | {each.name for each in signal.Signals} | system),
        "kinds": sorted({kind.word for kind in Kind} | set(FIELDS) | {"note"}),
        "sentences": sorted(sentences),
    }


def main(arguments: list[str]) -> int:
    """Write the file, or with `--check` compare it; returns the exit status."""
    path = ROOT / "data" / "vocabulary.json"
    wanted = json.dumps(build(), indent=0, ensure_ascii=False) + "\n"
    if arguments == ["--check"]:
        if path.read_text() != wanted:
            print("data/vocabulary.json is out of date: run  python scripts/vocabulary.py", file=sys.stderr)
            return 1
        return 0
    path.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main(sys.argv[1:]))
