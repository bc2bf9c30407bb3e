"""The text members of package archives, read without unpacking; nothing in them is trusted.

Wheels and zip files, tar files in any compression (source distributions, npm packages, Debian's
source packages) and Debian's binary packages, which are `ar` files with a tar file inside.
"""

import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

from pretraining.corpus import CorpusError

MAX_MEMBER = 1_000_000  # bytes; larger members are data, and are not read
MAX_UNPACKED = 8_000_000_000  # bytes in one archive; LLVM's source has a quarter of that
_AR_MAGIC = b"!<arch>\n"
_AR_HEADER = 60  # bytes
_DAMAGES = (
    zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, OSError,
    RuntimeError, NotImplementedError, ValueError,
)  # fmt: skip


def members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    """Names and contents of the regular files of an archive whose names are wanted.

    A tar file's first folder, which names the release, is left out of the names. Links, names that
    leave the archive or are not UTF-8, and members over `MAX_MEMBER` bytes are passed over. Raises
    `CorpusError` if the archive is damaged or unpacks to more than `MAX_UNPACKED` bytes.
    """
    try:
        if archive.suffix in (".whl", ".zip"):
            yield from _zip_members(archive, wanted)
        elif archive.suffix == ".deb":
            # paths below the root of a system, not below a release
            yield from _tar_members(io.BytesIO(_deb_data(archive)), wanted, "")
        elif archive.name.endswith((".tgz", ".tar.gz", ".tar.xz", ".tar.bz2")):
            # Debian's own files come beside those of the release, in the folder `debian`
            root = "" if ".debian.tar" in archive.name else "release"
            with archive.open("rb") as stream:
                yield from _tar_members(stream, wanted, root)
    except _DAMAGES as error:
        raise CorpusError(
            f"{archive} is damaged ({error}); delete its folder and run `corpus` again."
        ) from error


def _zip_members(archive: Path, wanted: Callable[[str], bool]) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(archive) as opened:
        for member in sorted(opened.infolist(), key=lambda member: member.filename):
            link = stat.S_ISLNK(member.external_attr >> 16)
            if link or member.is_dir() or member.file_size > MAX_MEMBER:
                continue
            if _is_safe(member.filename) and wanted(member.filename):
                yield member.filename, opened.read(member)


def _tar_members(
    stream: io.BufferedIOBase, wanted: Callable[[str], bool], root: str
) -> Iterator[tuple[str, bytes]]:
    """In the archive's own order: a compressed stream is read once, from front to back."""
    unpacked = 0
    with tarfile.open(fileobj=stream, mode="r:*") as opened:
        for member in opened:
            unpacked += member.size
            if unpacked > MAX_UNPACKED:
                raise ValueError(f"it unpacks to more than {MAX_UNPACKED} bytes")
            name = member.name.removeprefix("./")
            if root:
                name = name.partition("/")[2]
            if member.isreg() and member.size <= MAX_MEMBER and _is_safe(name) and wanted(name):
                content = opened.extractfile(member)
                if content is not None:
                    yield name, content.read()


def _is_safe(name: str) -> bool:
    """Whether a name is UTF-8 and stays inside the archive."""
    path = PurePosixPath(name)
    return name.isprintable() and not path.is_absolute() and ".." not in path.parts


def _deb_data(archive: Path) -> bytes:
    """The tar file with the installed files in a binary package, which is an `ar` file."""
    with archive.open("rb") as stream:
        if stream.read(len(_AR_MAGIC)) != _AR_MAGIC:
            raise ValueError("not an ar file")
        while len(header := stream.read(_AR_HEADER)) == _AR_HEADER:
            name, size = header[:16].decode("ascii").strip(" /"), int(header[48:58])
            if size < 0:
                raise ValueError("a member of negative size")
            if name.startswith("data.tar"):
                return stream.read(size)
            stream.seek(size + size % 2, io.SEEK_CUR)
    raise ValueError("no member data.tar")
