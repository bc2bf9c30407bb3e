"""Names are resolved through the imports of every language."""

import pytest

from code_context.index import RepositoryIndex
from code_context.languages import language_of
from code_context.retrieval import Retriever
from code_context.syntax import parse
from tests.conftest import cursor

RESOLVED = [
    ("shop/store.js", "export class Store {\n  add(a) {\n  }\n}\n",
     "shop/main.js", 'import { Store } from "./store";\nconst s = new Store($0'),
    ("lib/util/index.ts", "export function tidy(a: string): string {\n  return a;\n}\n",
     "src/main.ts", 'import { tidy } from "../lib/util";\ntidy($0'),
    ("src/com/shop/Store.java", "package com.shop;\nclass Store {\n    void add() {\n    }\n}\n",
     "src/app/Main.java", "import com.shop.Store;\nclass A {\n  Store s = new Store($0"),
    ("store/store.go", "package store\n\nfunc Open(a int) error {\n\treturn nil\n}\n",
     "main.go", 'package main\n\nimport "example.com/x/store"\n\nfunc f() {\n\tstore.Open($0'),
    ("src/store.rs", "pub fn open(a: u8) -> u8 {\n    a\n}\n",
     "src/main.rs", "use crate::store;\n\nfn f() {\n    store::open($0"),
    ("include/store.h", "int store_open(int a);\n",
     "src/main.c", '#include "store.h"\n\nint f(void) {\n    store_open($0'),
    ("Shop/Store.cs", "namespace Shop {\n  class Store {\n    void Add() {\n    }\n  }\n}\n",
     "App/Main.cs", "using Shop;\nclass A {\n  Store s = new Store($0"),
    ("lib/store.rb", "class Store\n  def add(a)\n    a\n  end\nend\n",
     "main.rb", 'require_relative "lib/store"\ns = Store.new($0'),
    ("Shop/Store.php", "<?php\nclass Store {\n    function add($a) {\n    }\n}\n",
     "main.php", "<?php\nuse Shop\\Store;\n$s = new Store($0"),
]  # fmt: skip


@pytest.mark.parametrize(("other", "text", "path", "marked"), RESOLVED)
def test_names_are_resolved_to_definitions(other: str, text: str, path: str, marked: str) -> None:
    index = RepositoryIndex()
    index.put(other, text)
    at = cursor(marked)
    tree = parse(at.text, language_of(path))
    snippets = Retriever(index).snippets(tree, path, at.offset)
    assert [one.path for one in snippets if one.source == "definition"] == [other]
