"""Cross-file retrieval: definitions by imports and names, similar code, recent regions."""

import pytest

from code_context.context import Context, ContextConfig, build_context
from code_context.index import RepositoryIndex
from code_context.name_resolution import NameResolver
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


def retrieved(index: RepositoryIndex, marked: str, path: str = "main.py") -> list[Snippet]:
    at = cursor(marked)
    return Retriever(index).snippets(parse(at.text, "python"), path, at.offset)


def definitions(index: RepositoryIndex, marked: str, path: str = "main.py") -> dict[str, str]:
    return {
        one.path: one.text for one in retrieved(index, marked, path) if one.source == "definition"
    }


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
    ("x = only_here($0", "lonely.py"),  # not imported: the only definition of that name
    ("def f(cart):\n    cart.total_price($0", "shop/cart.py"),
]  # fmt: skip


@pytest.mark.parametrize(("marked", "path"), IMPORTED)
def test_names_are_resolved_to_definitions(index: RepositoryIndex, marked: str, path: str) -> None:
    assert list(definitions(index, marked)) == [path]


@pytest.mark.parametrize(
    ("module", "importer", "expected"),
    [
        (".prices", "shop/cart.py", ["shop/prices.py"]),
        ("..prices", "shop/deep/tax.py", ["shop/prices.py"]),
        (".", "shop/cart.py", ["shop/__init__.py"]),
        ("shop", "main.py", ["shop/__init__.py"]),
        ("shop.nothing", "main.py", []),
        ("elsewhere.cart", "main.py", []),  # a module of the same name in another package
        ("os.path", "main.py", []),
    ],
)
def test_modules_are_resolved_to_files(
    index: RepositoryIndex, module: str, importer: str, expected: list[str]
) -> None:
    assert NameResolver(index, RepositoryIndex(), ()).module_files(module, importer) == expected


def test_a_definition_is_shown_as_an_outline(index: RepositoryIndex) -> None:
    shown = definitions(index, "from shop.cart import Cart\n\nx = Cart($0")["shop/cart.py"]
    assert shown == (
        'class Cart:\n    """Holds what is bought."""\n'
        "    def add_item(self, name: str, price: Price) -> None:\n"
        "    def total_price(self) -> Price:\n"
    )


def test_an_ambiguous_name_is_not_resolved(index: RepositoryIndex) -> None:
    assert definitions(index, "x = parse_price($0") == {}


@pytest.mark.parametrize(
    "marked",
    [
        "x = only_her$0",  # still being typed
        "# only_here(\nx = $0",
        "x = 'only_here('\ny = $0",
    ],
)
def test_unfinished_words_and_text_are_not_resolved(index: RepositoryIndex, marked: str) -> None:
    assert definitions(index, marked) == {}


def test_nothing_is_retrieved_from_the_file_itself(index: RepositoryIndex) -> None:
    text = FILES["shop/cart.py"] + "\n\nx = Cart().total_price($0"
    paths = {one.path for one in retrieved(index, text, "shop/cart.py")}
    assert paths == {"shop/__init__.py", "shop/prices.py"}
    assert "shop/cart.py" in {one.path for one in retrieved(index, text, "main.py")}


def test_similar_code_shares_rare_names(index: RepositoryIndex) -> None:
    marked = "def add(cart, name, price):\n    cart.add_item(name, price)\n    return $0"
    similar = [one for one in retrieved(index, marked) if one.source == "similar"]
    assert similar[0].path == "shop/cart.py"
    assert 0 < similar[0].score <= 1
    assert similar == sorted(similar, key=lambda one: -one.score)


def test_typing_a_word_does_not_change_the_snippets(index: RepositoryIndex) -> None:
    results = {
        tuple(retrieved(index, f"from shop.cart import Cart\n\ncart = Cart()\ncart.{typed}$0"))
        for typed in ("", "t", "to", "total", "total_pric")
    }
    assert len(results) == 1
    assert results != {()}


def test_retrieval_is_deterministic(index: RepositoryIndex) -> None:
    marked = "from shop.cart import Cart\nfrom shop.prices import parse_price\n\nx = Cart($0"
    assert len(retrieved(index, marked)) > 2
    assert retrieved(index, marked) == retrieved(index, marked)
    again = RepositoryIndex()
    for path, text in FILES.items():
        again.put(path, text)
    assert retrieved(again, marked) == retrieved(index, marked)


def test_an_open_document_replaces_its_file(index: RepositoryIndex) -> None:
    retriever = Retriever(index)
    at = cursor("from shop.cart import Cart\n\nx = Cart($0")
    tree = parse(at.text, "python")

    def shown() -> str:
        return "".join(one.text for one in retriever.snippets(tree, "main.py", at.offset))

    assert "total_price" in shown()
    unsaved = "class Cart:\n    def unsaved(self):\n        pass\n"
    retriever.update_open_documents({"shop/cart.py": unsaved}, "main.py", 0)
    assert "unsaved" in shown()
    assert "total_price" not in shown()
    retriever.update_open_documents({}, "main.py", 0)
    assert "total_price" in shown()
    assert "unsaved" not in shown()


def test_an_open_document_with_a_secret_is_not_retrieved(index: RepositoryIndex) -> None:
    retriever = Retriever(index)
    at = cursor("x = unsaved_key($0")
    tree = parse(at.text, "python")
    text = "def unsaved_key():\n    return 'key'\n"
    retriever.update_open_documents({"keys.py": text}, "main.py", 0)
    assert retriever.snippets(tree, "main.py", at.offset) != []
    text = text.replace("'key'", "'AKIA" + "QYLPMN5HFIQR7XYA'")
    retriever.update_open_documents({"keys.py": text}, "main.py", 0)
    retriever.update_open_documents({"keys.py": text + "x = 1\n"}, "main.py", 0)
    assert retriever.snippets(tree, "main.py", at.offset) == []


def recent(retriever: Retriever, path: str) -> list[tuple[str, str]]:
    snippets = retriever.snippets(parse("x = 1\n", "python"), path, 0)
    return [(one.path, one.text) for one in snippets if one.source == "recent" and one.path != path]


def test_regions_edited_in_other_files_follow_later_edits(index: RepositoryIndex) -> None:
    retriever = Retriever(index)
    lines = [f"line_{n} = {n}\n" for n in range(60)]
    before = {"a.py": "".join(lines), "b.py": "b = 1\n"}
    retriever.update_open_documents(before, "b.py", 0)
    assert recent(retriever, "b.py") == []
    lines[30] = "changed = 1\n"
    retriever.update_open_documents(before | {"a.py": "".join(lines)}, "a.py", 30)
    assert recent(retriever, "a.py") == [("b.py", "b = 1\n")], "where the cursor was before"
    lines.insert(0, "new = 1\n")
    after = before | {"a.py": "".join(lines)}
    retriever.update_open_documents(after, "b.py", 0)
    shown = recent(retriever, "b.py")
    assert [path for path, _ in shown] == ["a.py", "a.py"]
    assert "new = 1\n" in shown[0][1]
    assert "changed = 1\n" in shown[1][1], "the region has moved with its file"
    retriever.update_open_documents({"b.py": "b = 1\n"}, "b.py", 0)
    assert recent(retriever, "b.py") == [], "a closed file is forgotten"


def test_edited_regions_of_the_same_file_are_shown_outside_the_window(
    index: RepositoryIndex,
) -> None:
    retriever = Retriever(index)
    lines = [f"line_{n} = {n}\n" for n in range(400)]
    retriever.update_open_documents({"a.py": "".join(lines)}, "a.py", 20)
    lines[20] = "changed = 1\n"
    text = "".join(lines)
    retriever.update_open_documents({"a.py": text}, "a.py", 20)

    def shown(line: int) -> list[str]:
        tree = parse(text, "python")
        offset = tree.lines.starts[line]
        retriever.update_open_documents({"a.py": text}, "a.py", line)
        context = build_context(
            tree, "a.py", offset, config=ContextConfig(), count_tokens=words,
            snippets=retriever.snippets(tree, "a.py", offset),
        )  # fmt: skip
        texts = [*(one.text for one in context.snippets), context.prefix, context.suffix]
        assert sum("changed = 1" in text for text in texts) == 1
        return [one.text for one in context.snippets if one.source == "recent"]

    assert shown(25) == [], "the window shows it"
    assert "changed = 1\n" in shown(380)[0]
    assert [one.count("changed = 1") for one in shown(381)] == [1], "at the same lines"


def test_nearby_edits_are_one_region(index: RepositoryIndex) -> None:
    retriever = Retriever(index)
    text = "x = 1\n" * 40
    for n in range(5):
        retriever.update_open_documents({"a.py": text}, "b.py", 0)
        text = text[: 60 + n] + "y" + text[60 + n :]
    assert len(recent(retriever, "b.py")) == 1


def test_an_unreadable_index_gives_no_snippets_and_a_problem(index: RepositoryIndex) -> None:
    retriever = Retriever(index)
    at = cursor("x = only_here($0")
    tree = parse(at.text, "python")
    assert retriever.snippets(tree, "main.py", at.offset) != []
    assert retriever.problem is None
    index.close()
    assert retriever.snippets(tree, "main.py", at.offset) == []
    assert (retriever.problem or "").startswith("the repository index cannot be read")
    assert retriever.excluded_files() == {}


def words(text: str) -> int:
    return len(text.split())


def context_with(snippets: list[Snippet], **budget: object) -> Context:
    config = ContextConfig(**budget)  # type: ignore[arg-type]
    return build_context(
        parse("x = ", "python"), "main.py", 4, config=config, count_tokens=words, snippets=snippets
    )


def test_sources_are_limited_to_their_shares_and_arranged_by_stability() -> None:
    candidates = [
        Snippet("d.py", "one two three", "definition", 0.9, 3),
        Snippet("d.py", "four five", "definition", 0.5, 1),
        Snippet("s.py", "six seven eight nine", "similar", 0.8),
        Snippet("t.py", "ten", "similar", 0.2),
    ]
    context = context_with(
        candidates,
        max_snippet_tokens=20,
        sources=(("similar", 0.5), ("definition", 1.0)),
    )
    assert [(one.path, one.text) for one in context.snippets] == [
        ("s.py", "six seven eight nine"),
        ("d.py", "four fiveone two three"),  # definitions of one file are joined, in source order
    ]
    assert [(one.snippet.path, one.tokens, one.reason) for one in context.candidates] == [
        ("s.py", 7, None),
        ("t.py", 4, "no room"),
        ("d.py", 6, None),
        ("d.py", 5, None),
    ]


def test_no_code_is_shown_twice() -> None:
    chunk = Snippet("a.py", "one\ntwo\nthree\n", "similar", 0.8, 10)
    inside = Snippet("a.py", "two", "definition", 0.9, 11)
    below = Snippet("a.py", "four", "definition", 0.9, 13)
    context = context_with([chunk, inside, below])
    assert [one.text for one in context.snippets] == [chunk.text, below.text]
    assert {one.reason for one in context.candidates if one.snippet is inside} == {"shown already"}
