"""Licences come from each package's own metadata, and only permissive ones pass."""

import pytest

from pretraining import licences
from tests.unit.pretraining.made_packages import COPYRIGHT

PERMISSIVE = """
MIT|Expat|MIT License|BSD-3-Clause|BSD License|3-Clause BSD License|New BSD License|Apache-2.0
Apache Software License|Apache License, Version 2.0|Apache 2.0|ISC|ISC License (ISCL)|Zlib
PSF-2.0|Python Software Foundation License|Unlicense|The Unlicense|BSL-1.0|CC0-1.0|0BSD
public-domain|MIT or GPL-2+|GPL-2.0-only OR (MIT AND BSD-2-Clause)|BSD-3-Clause~Google
MIT and BSD-3-clause|BSD License; MIT License|GPL-2+ or MIT, and ISC
Apache-2.0 WITH LLVM-exception|(MIT OR Apache-2.0)
"""
OTHERS = """
GPL-2+|LGPL-3.0|AGPL-3.0|MPL-2.0|Mozilla Public License 2.0 (MPL 2.0)|EPL-2.0|BSL-1.1|unknown
BUSL-1.1|SEE LICENSE IN LICENSE|UNLICENSED|CC-BY-SA-4.0|MIT and GPL-2+|MIT AND (ISC AND GPL-3.0)
(MIT OR GPL-3.0) AND GPL-3.0|MIT or GPL-2+, and GPL-3+|MIT License; GPL|Proprietary|Artistic
MIT and|(MIT|MIT)|or|Mitigated|Commons Clause|MIT with Commons Clause|Python-GPL
MIT (and GPL)|MIT (GPL|()
"""


@pytest.mark.parametrize("licence", PERMISSIVE.strip().replace("\n", "|").split("|"))
def test_permissive_licences_pass(licence: str) -> None:
    assert licences.is_permissive(licence)


@pytest.mark.parametrize("licence", ["", *OTHERS.strip().replace("\n", "|").split("|")])
def test_others_do_not(licence: str) -> None:
    assert not licences.is_permissive(licence)


@pytest.mark.parametrize(
    ("metadata", "licence"),
    [
        (b"License-Expression: Apache-2.0\n\n", "Apache-2.0"),
        (b"Classifier: License :: OSI Approved :: BSD License\n\n", "BSD License"),
        (b"Classifier: License :: OSI Approved\nLicense: MIT\n\n", "MIT"),
        (b"License: MIT\n\n", "MIT"),
        (b"Name: x\n\n", "unknown"),
        (b"", "unknown"),
    ],
)
def test_of_a_python_package(metadata: bytes, licence: str) -> None:
    assert licences.of_python_package(metadata) == licence


@pytest.mark.parametrize(
    ("described", "licence"),
    [
        (b'{"license": "(MIT OR Apache-2.0)"}', "(MIT OR Apache-2.0)"),
        (b'{"license": {"type": "ISC", "url": "x"}}', "ISC"),
        (b'{"licenses": [{"type": "MIT"}, {"type": "GPL"}]}', "MIT or GPL"),
        (b'{"name": "x"}', "unknown"),
        (b'{"license": ["MIT", null, {"type": 5}]}', "MIT or unknown or 5"),
        (b"[]", "unknown"),
        (b"\xff\xfe not JSON", "unknown"),
        (b"[" * 100_000, "unknown"),
    ],
)
def test_of_an_npm_package(described: bytes, licence: str) -> None:
    assert licences.of_npm_package(described) == licence


def test_of_each_file_of_a_debian_package() -> None:
    licence_of = licences.of_debian_package(
        COPYRIGHT.format(licence="BSD-3-clause\n Text.").encode()
    )
    assert licence_of("src/a.c") == "BSD-3-clause"
    assert licence_of("copied/deep/a.c") == "GPL-2+"
    assert licence_of("not/copied/a.c") == "BSD-3-clause"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"This package was made by hand.\nLicense: MIT\n",
        b"\xff\xff",
        b"Format: x\n\nFiles: *\n",
    ],
)
def test_a_copyright_file_for_people_names_no_licence(text: bytes) -> None:
    assert licences.of_debian_package(text)("a.c") == licences.UNKNOWN
