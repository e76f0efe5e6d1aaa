"""Prints the files that a requirements file takes part in (itself, -r, -c), one a line, relative
to the current directory. Exit 1 when an entry is not decided by these files alone: a path of the
app (-e ., ./package), or an address that may change (a branch in git)."""

import os
import re
import sys

seen: list[str] = []


def read(path: str) -> None:
    if path in seen:
        return
    seen.append(path)
    with open(path, encoding="utf-8-sig") as file:
        text = file.read().replace("\\\n", " ")
    for line in text.splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if not line:
            continue
        nested = re.match(r"(?:-r|--requirement|-c|--constraint)[ =]*(\S+)", line)
        if nested:
            target = nested[1]
            if "://" in target:
                sys.exit(1)
            read(os.path.normpath(os.path.join(os.path.dirname(path), target)))
        elif re.match(r"(-e|--editable|-f|--find-links)\b", line):
            sys.exit(1)
        elif line.startswith("-"):
            continue
        elif "git+" in line or "hg+" in line or "svn+" in line:
            sys.exit(1)
        elif line.startswith((".", "/", "file:")) or re.search(r"@\s*file:", line):
            sys.exit(1)
        elif os.path.exists(line.split("[")[0].split(";")[0].strip()) and "/" in line:
            sys.exit(1)


try:
    read(sys.argv[1])
except (OSError, UnicodeDecodeError):
    sys.exit(1)
print("\n".join(seen))
