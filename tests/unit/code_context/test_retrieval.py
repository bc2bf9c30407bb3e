"""What other files have to say about a cursor: resolved through imports, found by rare names."""

import sqlite3

import pytest

from code_context.context import Context, ContextConfig, build_context
from code_context.index import RepositoryIndex
from code_context.name_resolution import Resolver
from code_context.retrieval import Retriever
from code_context.snippets import Snippet
from code_context.syntax import parse
from tests.conftest import cursor

FILES = {
    "shop/__init__.py": "from .cart import Cart\nfrom .prices import *\n",
    "shop/cart.py": (
        "from .prices import Price\n\n\nclass Cart:\n"
        '    """Holds what is bought."""\n\n'
        "    def add_item(self, name: str, price: Price) -> None:\n"
        "        self.items.append((name, price))\n\n"
        "    def total_price(self) -> Price:\n        return sum(self.items)\n"
    ),
    "shop/prices.py": (
        "class Price(int):\n    pass\n\n\ndef parse_price(text):\n    return Price(text)\n"
    ),
    "shop/deep/tax.py": "RATE = 3\n\n\ndef tax_of(price, *, rate=RATE):\n    return price * rate\n",
    "lonely.py": "def only_here(argument):\n    return argument\n",
    "again.py": "def parse_price(text):\n    return 1\n",
    "third.py": "def parse_price(text):\n    return 2\n",
}


@pytest.fixture
def index() -> RepositoryIndex:
    index = RepositoryIndex()
    for path, text in FILES.items():
        index.put(path, text)
    return index


def found(index: RepositoryIndex, marked: str, path: str = "main.py") -> list[Snippet]:
    at = cursor(marked)
    return Retriever(index).snippets(parse(at.text, "python"), path, at.offset)


def defined(index: RepositoryIndex, marked: str, path: str = "main.py") -> dict[str, str]:
    return {one.path: one.text for one in found(index, marked, path) if one.source == "definition"}


IMPORTED = [
    ("from shop.cart import Cart\n\nx = Cart($0", "shop/cart.py"),
    ("from shop.cart import Cart as C\n\nx = C($0", "shop/cart.py"),
    ("from shop import Cart\n\nx = Cart($0", "shop/cart.py"),  # through a re-export
    ("from shop import parse_price\n\nx = parse_price($0", "shop/prices.py"),  # through import *
    ("from shop.prices import *\n\nx = parse_price($0", "shop/prices.py"),
    ("import shop.deep.tax\n\nx = shop.deep.tax.tax_of($0", "shop/deep/tax.py"),
    ("import shop.deep.tax as tax\n\nx = tax.tax_of($0", "shop/deep/tax.py"),
    ("from shop.deep import tax\n\nx = tax.tax_of($0", "shop/deep/tax.py"),
    ("from shop.cart import Cart\n\n\nclass A(Cart):\n    def f(s):\n        $0", "shop/cart.py"),
    ("x = only_here($0", "lonely.py"),  # by name alone: nobody else defines it
    ("def f(cart):\n    cart.total_price($0", "shop/cart.py"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "path"), IMPORTED)
def test_a_name_leads_to_its_definition(index: RepositoryIndex, marked: str, path: str) -> None:
    assert list(defined(index, marked)) == [path]


@pytest.mark.parametrize(
    ("module", "importer", "expected"),
    [
        (".prices", "shop/cart.py", ["shop/prices.py"]),
        ("..prices", "shop/deep/tax.py", ["shop/prices.py"]),
        (".", "shop/cart.py", ["shop/__init__.py"]),
        ("shop", "main.py", ["shop/__init__.py"]),
        ("shop.nothing", "main.py", []),
        ("elsewhere.cart", "main.py", []),  # another package's module of the same name
        ("os.path", "main.py", []),
    ],
)
def test_modules_are_files(
    index: RepositoryIndex, module: str, importer: str, expected: list[str]
) -> None:
    assert Resolver(index, RepositoryIndex(), ()).files(module, importer) == expected


def test_what_is_shown_is_signature_and_description(index: RepositoryIndex) -> None:
    shown = defined(index, "from shop.cart import Cart\n\nx = Cart($0")["shop/cart.py"]
    assert shown == (
        'class Cart:\n    """Holds what is bought."""\n'
        "    def add_item(self, name: str, price: Price) -> None:\n"
        "    def total_price(self) -> Price:\n"
    )


def test_a_name_that_many_files_define_says_nothing(index: RepositoryIndex) -> None:
    assert defined(index, "x = parse_price($0") == {}


@pytest.mark.parametrize(
    "marked",
    [
        "x = only_her$0",  # still being typed
        "# only_here(\nx = $0",
        "x = 'only_here('\ny = $0",
    ],
)
def test_no_code_no_definition(index: RepositoryIndex, marked: str) -> None:
    assert defined(index, marked) == {}


def test_the_file_itself_is_never_a_neighbour(index: RepositoryIndex) -> None:
    text = FILES["shop/cart.py"] + "\n\nx = Cart().total_price($0"
    assert all(one.path != "shop/cart.py" for one in found(index, text, "shop/cart.py"))


def test_similar_code_shares_rare_names(index: RepositoryIndex) -> None:
    marked = "def add(cart, name, price):\n    cart.add_item(name, price)\n    return $0"
    similar = [one for one in found(index, marked) if one.source == "similar"]
    assert similar[0].path == "shop/cart.py"
    assert 0 < similar[0].score <= 1
    assert similar == sorted(similar, key=lambda one: -one.score)


def test_typing_a_word_changes_nothing(index: RepositoryIndex) -> None:
    answers = {
        tuple(found(index, f"from shop.cart import Cart\n\ncart = Cart()\ncart.{typed}$0"))
        for typed in ("", "t", "to", "total", "total_pric")
    }
    assert len(answers) == 1


def test_same_state_same_context(index: RepositoryIndex) -> None:
    marked = "from shop.cart import Cart\nfrom shop.prices import parse_price\n\nx = Cart($0"
    assert found(index, marked) == found(index, marked)
    again = RepositoryIndex()
    for path, text in FILES.items():
        again.put(path, text)
    assert found(again, marked) == found(index, marked)


def test_an_open_document_counts_before_the_file(index: RepositoryIndex) -> None:
    repository = Retriever(index)
    at = cursor("from shop.cart import Cart\n\nx = Cart($0")
    tree = parse(at.text, "python")

    def shown() -> str:
        return "".join(one.text for one in repository.snippets(tree, "main.py", at.offset))

    assert "total_price" in shown()
    unsaved = "class Cart:\n    def unsaved(self):\n        pass\n"
    repository.update_open_documents({"shop/cart.py": unsaved}, "main.py", 0)
    assert "unsaved" in shown()
    assert "total_price" not in shown()
    repository.update_open_documents({}, "main.py", 0)
    assert "total_price" in shown()
    assert "unsaved" not in shown()


def test_an_open_document_with_a_secret_is_not_shown_elsewhere(index: RepositoryIndex) -> None:
    repository = Retriever(index)
    key = "AKIA" + "QYLPMN5HFIQR7XYA"
    text = f"def unsaved_key():\n    return '{key}'\n"
    repository.update_open_documents({"keys.py": text}, "main.py", 0)
    repository.update_open_documents({"keys.py": text + "x = 1\n"}, "main.py", 0)
    at = cursor("x = unsaved_key($0")
    assert repository.snippets(parse(at.text, "python"), "main.py", at.offset) == []


def recent(repository: Retriever, path: str) -> list[tuple[str, str]]:
    found = repository.snippets(parse("x = 1\n", "python"), path, 0)
    return [(one.path, one.text) for one in found if one.source == "recent" and one.path != path]


def test_what_was_edited_elsewhere_is_shown_as_it_is_now(index: RepositoryIndex) -> None:
    repository = Retriever(index)
    lines = [f"line_{n} = {n}\n" for n in range(60)]
    before = {"a.py": "".join(lines), "b.py": "b = 1\n"}
    repository.update_open_documents(before, "b.py", 0)
    assert recent(repository, "b.py") == []
    lines[30] = "changed = 1\n"
    repository.update_open_documents(before | {"a.py": "".join(lines)}, "a.py", 30)
    assert recent(repository, "a.py") == [("b.py", "b = 1\n")], "where the cursor was before"
    lines.insert(0, "new = 1\n")
    after = before | {"a.py": "".join(lines)}
    repository.update_open_documents(after, "b.py", 0)
    shown = recent(repository, "b.py")
    assert [path for path, _ in shown] == ["a.py", "a.py"]
    assert "new = 1\n" in shown[0][1]
    assert "changed = 1\n" in shown[1][1], "the region has moved with its file"
    repository.update_open_documents({"b.py": "b = 1\n"}, "b.py", 0)
    assert recent(repository, "b.py") == [], "a closed file is forgotten"


def test_what_was_edited_in_the_same_file_is_shown_where_the_window_does_not(
    index: RepositoryIndex,
) -> None:
    repository = Retriever(index)
    lines = [f"line_{n} = {n}\n" for n in range(400)]
    repository.update_open_documents({"a.py": "".join(lines)}, "a.py", 20)
    lines[20] = "changed = 1\n"
    text = "".join(lines)
    repository.update_open_documents({"a.py": text}, "a.py", 20)

    def shown(line: int) -> list[str]:
        tree = parse(text, "python")
        offset = tree.lines.starts[line]
        repository.update_open_documents({"a.py": text}, "a.py", line)
        context = build_context(
            tree, "a.py", offset, config=ContextConfig(), count_tokens=words,
            snippets=repository.snippets(tree, "a.py", offset),
        )  # fmt: skip
        given = [*(one.text for one in context.snippets), context.prefix, context.suffix]
        assert sum("changed = 1" in one for one in given) == 1
        return [one.text for one in context.snippets if one.source == "recent"]

    assert shown(25) == [], "the window shows it"
    assert "changed = 1\n" in shown(380)[0]
    assert [one.count("changed = 1") for one in shown(381)] == [1], "nor has it moved since"


def test_edits_nearby_are_one_region(index: RepositoryIndex) -> None:
    repository = Retriever(index)
    text = "x = 1\n" * 40
    for n in range(5):
        repository.update_open_documents({"a.py": text}, "b.py", 0)
        text = text[: 60 + n] + "y" + text[60 + n :]
    assert len(recent(repository, "b.py")) == 1


def test_a_broken_index_means_no_snippets_and_a_reason(index: RepositoryIndex) -> None:
    repository = Retriever(index)
    index.close()
    assert repository.snippets(parse("x = f(", "python"), "main.py", 6) == []
    assert "cannot be read" in (repository.problem or "")
    assert issubclass(sqlite3.ProgrammingError, sqlite3.Error)


def words(text: str) -> int:
    return len(text.split())


def built(snippets: list[Snippet], **budget: object) -> Context:
    config = ContextConfig(**budget)  # type: ignore[arg-type]
    return build_context(
        parse("x = ", "python"), "main.py", 4, config=config, count_tokens=words, snippets=snippets
    )


def test_sources_fill_their_shares_in_order_and_stand_by_stability() -> None:
    candidates = [
        Snippet("d.py", "one two three", "definition", 0.9, 3),
        Snippet("d.py", "four five", "definition", 0.5, 1),
        Snippet("s.py", "six seven eight nine", "similar", 0.8),
        Snippet("t.py", "ten", "similar", 0.2),
    ]
    context = built(
        candidates,
        max_snippet_tokens=20,
        sources=(("similar", 0.5), ("definition", 1.0)),
    )
    assert [(one.path, one.text) for one in context.snippets] == [
        ("s.py", "six seven eight nine"),
        ("d.py", "four fiveone two three"),  # one file, one snippet, in the file's order
    ]
    assert [(one.snippet.path, one.tokens, one.reason) for one in context.candidates] == [
        ("s.py", 7, None),
        ("t.py", 4, "no room"),
        ("d.py", 6, None),
        ("d.py", 5, None),
    ]


def test_nothing_is_shown_twice() -> None:
    chunk = Snippet("a.py", "one\ntwo\nthree\n", "similar", 0.8, 10)
    inside = Snippet("a.py", "two", "definition", 0.9, 11)
    below = Snippet("a.py", "four", "definition", 0.9, 13)
    context = built([chunk, inside, below])
    assert [one.text for one in context.snippets] == [chunk.text, below.text]
    assert {one.reason for one in context.candidates if one.snippet is inside} == {"shown already"}
