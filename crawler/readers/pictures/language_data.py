"""Where the data of tesseract's languages lies; apart from the reader, because the sandbox has to make it visible."""

from __future__ import annotations

from pathlib import Path

DATA_FOLDERS = ("/usr/share/tesseract-ocr/5/tessdata", "/usr/share/tesseract-ocr/4.00/tessdata", "/usr/share/tessdata")
LANGUAGES = ("fra", "eng")


def language_data() -> Path | None:
    """The file with the data of the language that is used; None if there is none."""
    files = (Path(folder) / f"{name}.traineddata" for name in LANGUAGES for folder in DATA_FOLDERS)
    return next((file for file in files if file.is_file()), None)
