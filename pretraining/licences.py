"""Licences, read from the metadata of each package, and which of them are permissive.

Metadata of wheels and of npm packages name one licence for all files. Debian's machine-readable
`debian/copyright` names one for each file (DEP 5, version 1.0 of the format).
"""

import json
import re
from collections.abc import Callable
from email.parser import Parser

UNKNOWN = "unknown"
LicenceOf = Callable[[str], str]
"""The licence of a file, by its path."""

_PERMISSIVE = re.compile(
    r"(the\ )?(new\ |modified\ |simplified\ |[0-4][- ]clause\ )?"
    r"(0?bsd|mit|expat|x11|apache|asl|isc|zlib|libpng|psf|python|unlicen[cs]e|bsl-1\.0|boost|cc0"
    r"|public[- ]domain|postgresql|curl|ncsa|hpnd|zpl|zope|blueoak|unicode)(?![a-z])",
    re.VERBOSE,
)
_RESTRICTED = re.compile(r"gpl|protection|proprietary|commercial|commons|advertis")
_OR, _AND = ("or", "and/or", "|"), ("and", "&")
_FORMAT = re.compile(r"(?i)\AFormat(-Specification)?:")


def is_permissive(licence: str) -> bool:
    """Whether a licence expression allows use under permissive terms alone.

    Of alternatives ("or") one has to be permissive, of licences that hold together all. What is
    not understood is not permissive.
    """
    text = re.sub(r",?\s*version\b", " ", licence.lower())
    # in Debian's syntax, "and" after a comma binds weakest
    return all(_alternatives(part) for part in re.split(r"\s*[,;]\s*(?:and\s)?\s*", text))


def _alternatives(text: str) -> bool:
    tokens = re.findall(r"[()]|[^\s()]+", text)
    try:
        permissive = _any(tokens)
    except IndexError:
        return False
    return permissive and not tokens


def _any(tokens: list[str]) -> bool:
    permissive = _all(tokens)
    while tokens and tokens[0] in _OR:
        del tokens[0]
        permissive = _all(tokens) or permissive
    return permissive


def _all(tokens: list[str]) -> bool:
    permissive = _one(tokens)
    while tokens and tokens[0] in _AND:
        del tokens[0]
        permissive = _one(tokens) and permissive
    return permissive


def _one(tokens: list[str]) -> bool:
    """A name of one or more words, or an expression in brackets; takes it off `tokens`."""
    if tokens[0] == "(":
        del tokens[0]
        permissive = _any(tokens)
        return tokens.pop(0) == ")" and permissive
    words = [tokens.pop(0)]
    while tokens and tokens[0] not in (*_OR, *_AND, ")"):
        words.append(tokens.pop(0))
        if words[-1] == "(":  # a remark, which is part of the name
            while words[-1] != ")":
                words.append(tokens.pop(0))
    name = " ".join(words)
    return _PERMISSIVE.match(name) is not None and _RESTRICTED.search(name) is None


def of_python_package(metadata: bytes) -> str:
    """The licence in a package's core metadata: expression, classifiers, or free text."""
    headers = Parser().parsestr(metadata.decode("utf-8", "replace"), headersonly=True)
    if headers["License-Expression"]:
        return str(headers["License-Expression"])
    classifiers = [
        value.rpartition("::")[2].strip()
        for value in headers.get_all("Classifier", [])
        if value.startswith("License ::") and not value.endswith("OSI Approved")
    ]
    if classifiers:
        return "; ".join(classifiers)
    return (str(headers["License"] or UNKNOWN).splitlines() or [UNKNOWN])[0][:80]


def of_npm_package(package_json: bytes) -> str:
    """The licence in `package.json`, also in the older forms: an object, or a list of them."""
    try:
        described = json.loads(package_json)
    except (ValueError, RecursionError):
        return UNKNOWN
    if not isinstance(described, dict):
        return UNKNOWN
    named = described.get("license") or described.get("licenses")
    each = named if isinstance(named, list) else [named]
    names = [entry.get("type") if isinstance(entry, dict) else entry for entry in each]
    return " or ".join(str(name or UNKNOWN) for name in names)


def of_debian_package(copyright_file: bytes) -> LicenceOf:
    """The licence of each file by `debian/copyright`; the last paragraph that fits a path counts.

    A file that is not machine-readable gives `UNKNOWN` for every path.
    """
    text = copyright_file.decode("utf-8", "replace")
    paragraphs: list[tuple[re.Pattern[str], str]] = []
    for paragraph in re.split(r"\n\s*\n", text) if _FORMAT.match(text) else []:
        # the header's own field comes before those of the files, and fits none
        fields = Parser().parsestr(paragraph.strip(), headersonly=True)
        files, licence = fields["Files"], str(fields["License"] or "").strip()
        if files and licence:
            paragraphs.append((_patterns(files), licence.splitlines()[0].strip()))

    def licence_of(path: str) -> str:
        fitting = (licence for patterns, licence in reversed(paragraphs) if patterns.match(path))
        return next(fitting, UNKNOWN)

    return licence_of


def _patterns(files: str) -> re.Pattern[str]:
    """Matches the paths of a paragraph: `*` stands for any text, slashes included."""
    each = (
        re.escape(pattern.removeprefix("./")).replace(r"\*", ".*").replace(r"\?", ".")
        for pattern in files.split()
    )
    return re.compile("|".join(f"(?:{pattern})\\Z" for pattern in each), re.DOTALL)
