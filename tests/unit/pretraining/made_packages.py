"""Small package archives of every kind, as their own tools would make them, and small corpora."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from pretraining import corpus
from pretraining.corpus import Document

COPYRIGHT = """\
Format: copyright-format/1.0
Upstream-Name: made

Files: *
Copyright: 2020 Somebody
License: {licence}

Files: debian/* copied/*
Copyright: 2020 Somebody else
License: GPL-2+
"""


def wheel(folder: Path, files: Mapping[str, str], licence: str = "License-Expression: MIT") -> Path:
    path = folder / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr("made-1.dist-info/METADATA", f"Metadata-Version: 2.4\n{licence}\n\n")
    return path


def sdist(folder: Path, files: Mapping[str, str], licence: str = "License: MIT") -> Path:
    return tar(
        folder / "made-1.tar.gz",
        {f"made-1/{name}": text for name, text in files.items()}
        | {"made-1/PKG-INFO": f"Metadata-Version: 2.1\n{licence}\n\n"},
    )


def npm(folder: Path, files: Mapping[str, str], licence: object = "MIT") -> Path:
    described = json.dumps({"name": "made", "version": "1.0.0", "license": licence})
    return tar(
        folder / "made-1.0.0.tgz",
        {f"package/{name}": text for name, text in files.items()}
        | {"package/package.json": described},
    )


def deb(folder: Path, files: Mapping[str, str], licence: str = "Expat") -> Path:
    data = tar_bytes(
        {f"./{name}": text for name, text in files.items()}
        | {"./usr/share/doc/made-dev/copyright": COPYRIGHT.format(licence=licence)},
        "w:xz",
    )
    path = folder / "made-dev_1.0-1_all.deb"
    path.write_bytes(
        b"!<arch>\n"
        + ar_member("debian-binary", b"2.0\n")
        + ar_member("control.tar.xz", tar_bytes({"./control": "Package: made-dev\n"}, "w:xz"))
        + ar_member("data.tar.xz", data)
    )
    return path


def ar_member(name: str, content: bytes) -> bytes:
    header = f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n"
    return header.encode() + content + b"\n" * (len(content) % 2)


def debian_source(folder: Path, files: Mapping[str, str], licence: str = "Expat") -> Path:
    (folder / "made_1.0-1.dsc").write_text("Format: 3.0 (quilt)\n")
    tar(
        folder / "made_1.0-1.debian.tar.xz",
        {"debian/copyright": COPYRIGHT.format(licence=licence), "debian/patch.c": "int x;\n" * 40},
    )
    return tar(
        folder / "made_1.0.orig.tar.bz2",
        {f"made-1.0/{name}": text for name, text in files.items()},
    )


def tar(path: Path, files: Mapping[str, str]) -> Path:
    path.write_bytes(tar_bytes(files, "w:" + path.suffix.lstrip(".").replace("tgz", "gz")))
    return path


def tar_bytes(files: Mapping[str, str], mode: str) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            archive.addfile(member, io.BytesIO(text.encode()))
    return stream.getvalue()


def write_corpus(folder: Path, side: str, documents: Sequence[Document]) -> None:
    """One side of a corpus, each language in its place."""
    for language in corpus.LANGUAGES:
        of_language = [each for each in documents if each.counted_as == language]
        corpus.write_parts(corpus.folder_of(folder, language), side, of_language)
