"""Where a document belongs: real paths, workspace folders, repositories above and below them."""

from pathlib import Path

import pytest

from lsp_server.locations import Location, document_path, locate, workspace_roots


@pytest.mark.parametrize(
    ("uri", "folders", "root", "path"),
    [
        ("file:///a/b/c.py", ["/a"], "/a", "b/c.py"),
        ("file:///a/b/c.py", ["/a", "/a/b"], "/a/b", "c.py"),
        ("file:///a/b/c.py", ["/a/b", "/a"], "/a/b", "c.py"),
        ("file:///ab/c.py", ["/a"], None, "c.py"),
        ("file:///a/b/c.py", [], None, "c.py"),
        ("file:///a/b%20c/d%23.py", ["/a"], "/a", "b c/d#.py"),
        ("FILE:///a/b.py", ["/a"], "/a", "b.py"),
        ("untitled:Untitled-1", ["/a", "/b"], "/a", "Untitled-1"),
        ("untitled:Untitled-1", [], None, "Untitled-1"),
        ("untitled:/b/new.py", ["/a", "/b"], "/b", "new.py"),
        ("git:/a/b.py?%7B%22ref%22%3A%22~%22%7D", ["/a"], "/a", "b.py"),
        ("vscode-notebook-cell:/a/n.ipynb#W0sZmlsZQ", ["/a"], "/a", "n.ipynb"),
        ("http://[bad", ["/a"], "/a", "[bad"),
    ],
)
def test_locate(uri, folders, root, path):
    location = locate(uri, [Path(folder) for folder in folders])
    assert location == Location(root and Path(root), path)


@pytest.mark.parametrize(
    "uri", ["", "x", "file:", "file:a.py", "untitled:a", "git:%00", "http://["]
)
def test_uri_without_a_path(uri):
    assert document_path(uri) is None


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a package and a nested repository."""
    repository = tmp_path / "repository"
    for folder in (".git", "package", "nested/.attune", "nested/src"):
        (repository / folder).mkdir(parents=True)
    return repository


def uri(path: Path) -> str:
    return path.as_uri()


def test_the_root_is_the_nearest_repository_above(repository):
    """The rule of the command line, whichever of its folders is opened."""
    file, nested = repository / "package/a.py", repository / "nested/src/b.py"
    for folder in (repository, repository / "package", repository.parent):
        assert locate(uri(file), [folder]) == Location(repository, "package/a.py")
    for folder in (repository, repository / "nested", repository / "nested/src"):
        assert locate(uri(nested), [folder]) == Location(repository / "nested", "src/b.py")
    assert workspace_roots([repository / "package", repository]) == [repository]


def test_a_home_under_version_control_is_no_root(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / ".git").mkdir()
    (tmp_path / "project").mkdir()
    folder = tmp_path / "project"
    assert locate(uri(folder / "a.py"), [folder]) == Location(folder, "a.py")


def test_a_linked_root_and_the_real_path_are_one_file(tmp_path, repository):
    link = tmp_path / "link"
    link.symlink_to(repository)
    expected = Location(repository, "package/a.py")
    for folder in (link, repository):
        for opened in (link, repository):
            assert locate(uri(opened / "package/a.py"), [folder]) == expected
    assert workspace_roots([link, repository]) == [repository]


def test_a_link_to_a_file_outside_belongs_to_the_folder(tmp_path, repository):
    outside = tmp_path / "outside.py"
    outside.write_text("")
    (repository / "package/link.py").symlink_to(outside)
    location = locate(uri(repository / "package/link.py"), [repository])
    assert location == Location(repository, "package/link.py")
    assert locate(uri(outside), [repository]) == Location(None, "outside.py")


@pytest.mark.parametrize("name", ["x" * 5000, "\udcff", "a\nb"])
def test_a_name_that_no_file_has(repository, name):
    path = repository / name / "a.py"
    uri = f"file://{path}".replace("\n", "%0A")
    assert locate(uri, [repository]) == Location(repository, f"{name}/a.py")


def test_a_loop_of_links(repository):
    (repository / "loop").symlink_to(repository / "loop")
    location = locate(uri(repository / "loop/a.py"), [repository])
    assert location == Location(repository, "loop/a.py")
    assert workspace_roots([repository / "loop"]) == [repository]
