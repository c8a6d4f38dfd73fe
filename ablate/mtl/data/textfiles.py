"""Text files of a data set, read whole."""

from pathlib import Path


def read_text(file: Path, problems: list[str]) -> str | None:
    """The text of a UTF-8 file without its byte order mark; None, and one problem more, if it has none."""
    try:
        if file.exists() and not file.is_file():
            problems.append(f"{file.name}: not a file")
            return None
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        problems.append(f"{file.name}: missing in {file.parent}")
    except UnicodeDecodeError:
        problems.append(f"{file.name}: not UTF-8 text")
    except OSError as error:
        problems.append(f"{file.name}: cannot be read: {error.strerror}")
    return None
