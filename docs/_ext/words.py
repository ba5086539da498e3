"""Words that texts here avoid, each with its replacement; ``make lint`` finds none.

    python docs/_ext/words.py [--write] [files]

Files are those of the repository, unless some are named; ``--write`` replaces the words.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from pathlib import Path

WORDS = {
    "anew": "again",
    "but for the": "except for the",
    "fit anew": "refit",
    "hold the model up": "support the model",
    "holds the model up": "supports the model",
    "in place of": "instead of",
    "mend": "fix",
    "mended": "fixed",
    "mends": "fixes",
    "row that went": "dropped row",
    "rows that go": "dropped rows",
    "rows that went": "dropped rows",
    "those who know the data": "domain experts",
    "utilise": "use",
    "utilize": "use",
}
TEXTS = (".md", ".py", ".rst", ".jinja", ".cfg", ".toml", ".yml")
_FOUND = re.compile(rf"\b({'|'.join(sorted(WORDS, key=len, reverse=True))})\b", re.I)


def replacement(match: re.Match[str]) -> str:
    """The other word, with a capital where the first one has one."""
    word = WORDS[match[0].lower()]
    return word[0].upper() + word[1:] if match[0][0].isupper() else word


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true")
    parser.add_argument("files", nargs="*", type=Path)
    args = parser.parse_args()
    listed = subprocess.run(["git", "ls-files"], capture_output=True, text=True, check=True)
    files = args.files or [Path(name) for name in listed.stdout.splitlines()]
    n_found = 0
    for path in files:
        if path.suffix not in TEXTS or path.name == Path(__file__).name:
            continue
        text = path.read_text("utf-8")
        for number, line in enumerate(text.splitlines(), start=1):
            for match in _FOUND.finditer(line):
                n_found += 1
                print(f"{path}:{number}: {match[0]!r}, write {replacement(match)!r}")
        if args.write:
            path.write_text(_FOUND.sub(replacement, text), "utf-8")
    return int(n_found > 0 and not args.write)


if __name__ == "__main__":
    sys.exit(main())
