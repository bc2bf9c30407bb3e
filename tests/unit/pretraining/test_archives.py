"""Every kind of archive gives the files of its release; hostile ones give nothing else."""

import io
import stat
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from pretraining import archives
from pretraining.corpus import CorpusError
from tests.unit.pretraining import made_packages


def read(archive: Path) -> dict[str, bytes]:
    return dict(archives.members(archive, lambda name: name.endswith((".py", ".c", "copyright"))))


@pytest.mark.parametrize(
    ("make", "files"),
    [
        (made_packages.wheel, {"src/a.py": b"a"}),
        (made_packages.sdist, {"src/a.py": b"a"}),
        (made_packages.npm, {"src/a.py": b"a"}),
        (made_packages.debian_source, {"src/a.py": b"a"}),
    ],
)
def test_files_have_their_paths_in_the_release(
    make: Callable[[Path, Mapping[str, str]], Path], files: dict[str, bytes], tmp_path: Path
) -> None:
    assert read(make(tmp_path, {"src/a.py": "a", "README": "not wanted"})) == files


def test_a_binary_package_gives_installed_paths(tmp_path: Path) -> None:
    members = read(made_packages.deb(tmp_path, {"usr/include/a.c": "a"}))
    assert members["usr/include/a.c"] == b"a"
    assert members["usr/share/doc/made-dev/copyright"].startswith(b"Format:")


def test_debians_own_files_keep_their_folder(tmp_path: Path) -> None:
    made_packages.debian_source(tmp_path, {"a.c": "a"})
    assert "debian/copyright" in read(tmp_path / "made_1.0-1.debian.tar.xz")


def test_what_is_no_archive_gives_nothing(tmp_path: Path) -> None:
    (tmp_path / "made_1.0-1.dsc").write_text("Format: 3.0 (quilt)\n")
    assert read(tmp_path / "made_1.0-1.dsc") == {}


@pytest.mark.parametrize(
    "name", ["x/../../evil.py", "x//etc/evil.py", "x/\udcff.py", "x/a\nb.py", "x/..\\..\\\x00.py"]
)
def test_a_name_that_leaves_the_archive_or_is_not_text_is_passed_over(
    name: str, tmp_path: Path
) -> None:
    path = tmp_path / "made-1.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for each in (name, "x/good.py"):
            member = tarfile.TarInfo(each)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"a"))
    assert read(path).keys() == {"good.py"}


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_in_a_tar_file_are_passed_over(kind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made-1.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        member = tarfile.TarInfo("x/link.py")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert read(path) == {}


def test_links_in_a_wheel_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "made-1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.py")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("../out.py", "out")
    assert read(path) == {}


@pytest.mark.parametrize("make", [made_packages.wheel, made_packages.sdist])
def test_a_huge_member_is_not_read(
    make: Callable[[Path, Mapping[str, str]], Path], tmp_path: Path
) -> None:
    huge = "a" * (archives.MAX_MEMBER + 1)
    assert read(make(tmp_path, {"huge.py": huge, "small.py": "a"})) == {"small.py": b"a"}


def test_an_archive_that_unpacks_without_end_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives, "MAX_UNPACKED", 5_000)
    path = made_packages.sdist(tmp_path, {"one.py": "a" * 3_000, "two.py": "b" * 3_000})
    with pytest.raises(CorpusError, match="unpacks to more than 5000 bytes"):
        read(path)


@pytest.mark.parametrize(
    "name", ["made.whl", "made.zip", "made.tgz", "made.tar.xz", "made.tar.bz2", "made.deb"]
)
@pytest.mark.parametrize("content", [b"", b"not an archive at all", b"\x1f\x8b\x08\x00nonsense"])
def test_a_file_that_is_not_the_archive_it_is_called_is_named(
    name: str, content: bytes, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(CorpusError, match=f"{name} is damaged"):
        read(tmp_path / name)


@pytest.mark.parametrize(
    "make", [made_packages.wheel, made_packages.npm, made_packages.deb, made_packages.debian_source]
)
def test_an_archive_cut_short_is_named(
    make: Callable[[Path, Mapping[str, str]], Path], tmp_path: Path
) -> None:
    path = make(tmp_path, {"a.py": "".join(map(str, range(5_000)))})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(CorpusError, match="is damaged"):
        read(path)


@pytest.mark.parametrize(
    "content",
    [
        made_packages.ar_member("control.tar.xz", b"x"),
        made_packages.ar_member("data.tar.zst", b"not that kind"),
        b"data.tar.xz".ljust(48) + b"-9999999  `\n",
        b"\xff" * 60,
    ],
)
def test_a_binary_package_without_readable_data_is_named(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "made.deb"
    path.write_bytes(b"!<arch>\n" + content)
    with pytest.raises(CorpusError, match=r"made\.deb is damaged"):
        read(path)
