"""A member of a class in another file is shown in its class, in the syntax of its language."""

import pytest

from code_context.index import RepositoryIndex
from code_context.languages import language_of, languages
from code_context.retrieval import Retriever
from code_context.symbols import extract_symbols
from code_context.syntax import parse
from tests.conftest import cursor

# language: the other file, its text, the open file, its text with the cursor, what is shown
CASES = {
    "python": (
        "store.py",
        "class Store(Base):\n  def add_row(self, row):\n    pass\n",
        "main.py",
        "store.add_row($0",
        "class Store:\n    def add_row(self, row):\n",
    ),
    "javascript": (
        "store.js",
        "export class Store extends Base {\n  // Adds a row.\n  addRow(row) {\n    return 1;\n"
        "  }\n}\n",
        "main.js",
        "store.addRow($0",
        "class Store extends Base {\n  // Adds a row.\n  addRow(row)\n}\n",
    ),
    "typescript": (
        "store.ts",
        "export interface Store<T> {\n  size: number;\n  addRow(row: T): void;\n}\n",
        "main.ts",
        "store.addRow($0",
        "interface Store<T> {\n  addRow(row: T): void\n}\n",
    ),
    "tsx": (
        "store.tsx",
        "abstract class Store implements Rows {\n    addRow(row: Row): void {\n    }\n}\n",
        "main.tsx",
        "store.addRow($0",
        "abstract class Store implements Rows {\n    addRow(row: Row): void\n}\n",
    ),
    "go": (
        "store.go",
        "package store\n\nfunc (s *Store) AddRow(row int) error {\n\treturn nil\n}\n",
        "main.go",
        "package main\n\nfunc f() {\n\tstore.AddRow($0",
        "func (s *Store) AddRow(row int) error\n",
    ),
    "rust": (
        "store.rs",
        "impl<T> Rows for Store<T> {\n    /// Adds a row.\n    fn add_row(&mut self, row: T) {\n"
        "    }\n}\n",
        "main.rs",
        "fn f() {\n    store.add_row($0",
        "impl<T> Rows for Store<T> {\n    /// Adds a row.\n    fn add_row(&mut self, row: T)\n}\n",
    ),
    "java": (
        "Store.java",
        "public class Store\n        extends Base {\n    public void addRow(Row row) {\n    }\n}\n",
        "Main.java",
        "class Main {\n    void f() {\n        store.addRow($0",
        "public class Store\n        extends Base {\n    public void addRow(Row row)\n}\n",
    ),
    "c": (  # no members
        "store.c",
        "int store_add_row(struct store *s, int row)\n{\n    return 0;\n}\n",
        "main.c",
        "int f(void) {\n    store_add_row($0",
        "int store_add_row(struct store *s, int row)\n",
    ),
    "cpp": (
        "store.hpp",
        "namespace shop {\n    struct Store : Base {\n        void addRow(int row) {\n        }\n"
        "    };\n}\n",
        "main.cpp",
        "int f() {\n    store.addRow($0",
        "struct Store : Base {\n    void addRow(int row)\n};\n",
    ),
    "csharp": (
        "Store.cs",
        "namespace Shop\n{\n    public class Store : Base\n    {\n"
        "        public void AddRow(Row row)\n        {\n        }\n    }\n}\n",
        "Main.cs",
        "class A {\n    void F() {\n        store.AddRow($0",
        "public class Store : Base\n{\n    public void AddRow(Row row)\n}\n",
    ),
    "ruby": (
        "store.rb",
        "module Shop\n  class Store < Base\n    # Adds a row.\n    def add_row(row)\n      1\n"
        "    end\n  end\nend\n",
        "main.rb",
        "store.add_row($0",
        "class Store < Base\n  # Adds a row.\n  def add_row(row)\nend\n",
    ),
    "php": (
        "Store.php",
        "<?php\nfinal class Store extends Base\n{\n    public function addRow(Row $row): void\n"
        "    {\n    }\n}\n",
        "main.php",
        "<?php\n$store->addRow($0",
        "final class Store extends Base\n{\n    public function addRow(Row $row): void\n}\n",
    ),
}
OTHERS = [
    (
        "go",
        "package store\n\ntype Store interface {\n\tAddRow(row int) error\n}\n",
        "type Store interface {\n\tAddRow(row int) error\n}\n",
    ),
    ("rust", "trait Rows {\n    fn add(&self);\n}\n", "trait Rows {\n    fn add(&self);\n}\n"),
    ("cpp", "void Store::add(int row) {\n}\n", "void Store::add(int row)\n"),
    ("cpp", "class Store { void add(); };\n", "class Store {\n    void add();\n};\n"),
    ("ruby", "module Shop\n  def add\n  end\nend\n", "module Shop\n  def add\nend\n"),
    ("php", "<?php\ntrait Rows { function add() {} }\n", "trait Rows {\n    function add()\n}\n"),
    ("java", "enum E { A; void add() { } }\n", "enum E {\n    void add()\n}\n"),
]


def test_there_is_a_case_for_every_language() -> None:
    assert set(CASES) == set(languages())


@pytest.mark.parametrize("language", CASES)
def test_a_member_is_retrieved_in_its_class(language: str) -> None:
    other, text, path, marked, expected = CASES[language]
    assert language_of(other) == language_of(path) == language
    index = RepositoryIndex()
    index.put(other, text)
    at = cursor(marked)
    snippets = Retriever(index).snippets(parse(at.text, language), path, at.offset)
    assert [one.text for one in snippets if one.source == "definition"] == [expected]


@pytest.mark.parametrize(("language", "text", "expected"), OTHERS)
def test_scopes_other_than_classes(language: str, text: str, expected: str) -> None:
    definitions, _ = extract_symbols(parse(text, language))
    assert [one.outline for one in definitions if one.kind == "function"] == [expected]
