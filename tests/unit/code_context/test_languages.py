"""Definitions, imports, completion kinds and name resolution in every language."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from code_context.completion_kind import decide
from code_context.holes import find_holes
from code_context.languages import language_of, languages
from code_context.scopes import enclosing_scopes
from code_context.symbols import extract_symbols
from code_context.syntax import parse

JAVASCRIPT = """\
import fs from "fs";
import { read as load, write } from "./store/io";
import * as util from "../util";
const path = require("path");

export const LIMIT = 3;

/**
 * Keeps rows.
 */
export class Store extends Base {
  size = 3;

  /* Adds one. */
  add(name, value) {
    const inner = () => { return 1; };
    return value; // "not a string"
  }
}

// Makes a store.
export const make = async (name) => {
  return new Store();
};

function main() {
  return make("a");
}
"""
TYPESCRIPT = """\
import { Row } from "./row";
import type { Shape } from "./shape";

export interface Reader {
  name: string;
  read(path: string): Row;
}

export enum Color { Red, Green = 2 }

export type Alias = string | number;

namespace inner {
  export function deep(a: number): number {
    return a;
  }
}

/** Keeps rows. */
export abstract class Store<T> implements Reader {
  private rows: Row[] = [];

  add(row: Row): void {
    this.rows.push(row);
  }
}

export const make = (n: number): Store => {
  return new Store();
};
"""
GO = """\
package store

import (
\t"fmt"
\tio "example.com/shop/store/io"
)

const Limit = 3

// Store keeps rows.
// More of it.
type Store struct {
\tName string
\trows []int
}

type Reader interface {
\tRead(path string) error
}

// Add adds a row.
func (s *Store) Add(row int) error {
\tinner := func() {}
\treturn nil
}

func New(name string) *Store {
\treturn &Store{Name: name}
}
"""
RUST = """\
use crate::store::io::{Reader, Writer};
use super::row::Row as Line;
use std::fmt;

const LIMIT: usize = 3;

/// Keeps rows.
pub struct Store {
    pub rows: Vec<Line>,
}

pub enum Color {
    Red,
    Green(u8),
}

trait Shape {
    fn area(&self) -> f64;
}

impl Store {
    /// Adds a row.
    pub fn add(&mut self, row: Line) {
        let x = 'a';
    }
}

mod inner {
    pub fn deep(a: u8) -> u8 {
        a
    }
}
"""
JAVA = """\
package com.shop;

import com.shop.rows.Row;
import java.util.*;

/** Keeps rows. */
public class Store extends Base {
    private final int size = 3;

    public Store(int size) {
        this.size = size;
    }

    // Adds a row.
    public void add(Row row) {
        String text = "x";
    }
}

interface Shape {
    double area();
}

enum Color { RED, GREEN }
"""
C = """\
#include <stdio.h>
#include "store/rows.h"

#define LIMIT 3

/* Keeps rows. */
struct store {
    int size;
};

typedef struct store store_t;

enum color { RED, GREEN };

int store_add(struct store *s, int row);

/* Adds a row. */
int store_add(struct store *s, int row)
{
    return s->size + row;
}

char *store_name(void) {
    return "name";
}
"""
CPP = """\
#include "rows.h"

namespace shop {

// Keeps rows.
class Store : public Base {
public:
    void add(int row);
    int size() const {
        return 3;
    }
private:
    int count;
};

void Store::add(int row) {
    count += row;
}

}

enum class Color { Red, Green };
"""
CSHARP = """\
using System;
using Shop.Rows;

namespace Shop {
    /// <summary>Keeps rows.</summary>
    public class Store : Base {
        public int Size { get; set; }
        private int count = 3;

        public Store(int size) {
            Size = size;
        }

        // Adds a row.
        public void Add(Row row) {
            var text = "x";
        }
    }

    interface IShape {
        double Area();
    }

    enum Color { Red, Green }
}
"""
RUBY = """\
require "json"
require_relative "store/rows"

LIMIT = 3

module Shop
  # Keeps rows.
  class Store < Base
    # Adds a row.
    def add(row, value = 1)
      text = "x"
    end

    def self.make(name)
      new
    end
  end
end
"""
PHP = """\
<?php
use Shop\\Rows\\Row;
require_once 'store/rows.php';

const LIMIT = 3;

/** Keeps rows. */
class Store extends Base {
    public $size = 3;

    // Adds a row.
    public function add(Row $row): void {
        $text = "x";
    }
}

interface Shape {
    public function area(): float;
}

function make(string $name): Store {
    return new Store();
}
"""
SOURCES = {
    "javascript": ("a/main.js", JAVASCRIPT),
    "typescript": ("a/main.ts", TYPESCRIPT),
    "tsx": ("a/main.tsx", TYPESCRIPT),
    "go": ("a/main.go", GO),
    "rust": ("a/main.rs", RUST),
    "java": ("a/Main.java", JAVA),
    "c": ("a/main.c", C),
    "cpp": ("a/main.cpp", CPP),
    "csharp": ("a/Main.cs", CSHARP),
    "ruby": ("a/main.rb", RUBY),
    "php": ("a/main.php", PHP),
}
TS = {
    ("Reader", ""), ("name", "Reader"), ("read", "Reader"), ("Color", ""), ("Red", "Color"),
    ("Green", "Color"), ("Alias", ""), ("deep", ""), ("Store", ""), ("rows", "Store"),
    ("add", "Store"), ("make", ""),
}  # fmt: skip
DEFINED = {
    "javascript": {
        ("path", ""), ("LIMIT", ""), ("Store", ""), ("size", "Store"), ("add", "Store"),
        ("make", ""), ("main", ""),
    },
    "typescript": TS,
    "tsx": TS,
    "go": {
        ("Limit", ""), ("Store", ""), ("Name", "Store"), ("rows", "Store"), ("Reader", ""),
        ("Read", "Reader"), ("Add", "Store"), ("New", ""),
    },
    "rust": {
        ("LIMIT", ""), ("Store", ""), ("rows", "Store"), ("Color", ""), ("Red", "Color"),
        ("Green", "Color"), ("Shape", ""), ("area", "Shape"), ("add", "Store"), ("deep", ""),
    },
    "java": {
        ("Store", ""), ("size", "Store"), ("Store", "Store"), ("add", "Store"), ("Shape", ""),
        ("area", "Shape"), ("Color", ""), ("RED", "Color"), ("GREEN", "Color"),
    },
    "c": {
        ("LIMIT", ""), ("store", ""), ("size", "store"), ("store_t", ""), ("color", ""),
        ("RED", "color"), ("GREEN", "color"), ("store_add", ""), ("store_name", ""),
    },
    "cpp": {
        ("Store", ""), ("add", "Store"), ("size", "Store"), ("count", "Store"), ("Color", ""),
        ("Red", "Color"), ("Green", "Color"),
    },
    "csharp": {
        ("Store", ""), ("Size", "Store"), ("count", "Store"), ("Store", "Store"),
        ("Add", "Store"), ("IShape", ""), ("Area", "IShape"), ("Color", ""), ("Red", "Color"),
        ("Green", "Color"),
    },
    "ruby": {("LIMIT", ""), ("Shop", ""), ("Store", "Shop"), ("add", "Store"), ("make", "Store")},
    "php": {
        ("LIMIT", ""), ("Store", ""), ("size", "Store"), ("add", "Store"), ("Shape", ""),
        ("area", "Shape"), ("make", ""),
    },
}  # fmt: skip
IMPORTED = {
    "javascript": {
        ("fs", "fs", ""), ("./store/io", "read", "load"), ("./store/io", "write", ""),
        ("../util", "", "util"), ("path", "", "path"),
    },
    "typescript": {("./row", "Row", ""), ("./shape", "Shape", "")},
    "go": {("fmt", "", ""), ("example.com/shop/store/io", "", "io")},
    "rust": {
        ("crate::store::io", "Reader", ""), ("crate::store::io", "Writer", ""),
        ("super::row", "Row", "Line"), ("std", "fmt", ""),
    },
    "java": {("com.shop.rows", "Row", ""), ("java.util", "*", "")},
    "c": {("stdio.h", "", ""), ("store/rows.h", "", "")},
    "cpp": {("rows.h", "", "")},
    "csharp": {("System", "", ""), ("Shop.Rows", "", "")},
    "ruby": {("json", "", ""), ("store/rows", "", "")},
    "php": {("Shop\\Rows", "Row", ""), ("store/rows.php", "", "")},
}  # fmt: skip


def test_every_language_has_a_sample() -> None:
    assert set(SOURCES) | {"python"} == set(languages())


@pytest.mark.parametrize("language", SOURCES)
def test_definitions_with_their_containers(language: str) -> None:
    path, text = SOURCES[language]
    assert language_of(path) == language
    definitions, _ = extract_symbols(parse(text, language))
    assert {(one.name, one.container) for one in definitions} == DEFINED[language]


@pytest.mark.parametrize("language", IMPORTED)
def test_imports(language: str) -> None:
    _, imports = extract_symbols(parse(SOURCES[language][1], language))
    names = {(one.module, one.name, one.alias) for one in imports}
    assert names == IMPORTED[language]


OUTLINES = [
    ("javascript", "Store", "/** Keeps rows. */\nclass Store extends Base\n  size = 3\n"
                            "  add(name, value)\n"),
    ("javascript", "make", "// Makes a store.\nconst make = async (name) =>\n"),
    ("typescript", "Reader", "interface Reader\n  name: string\n  read(path: string): Row\n"),
    ("go", "Store", "// Store keeps rows.\ntype Store struct\n\tName string\n\trows []int\n"),
    ("go", "Add", "// Add adds a row.\nfunc (s *Store) Add(row int) error\n"),
    ("rust", "Store", "/// Keeps rows.\npub struct Store\n    pub rows: Vec<Line>\n"),
    ("java", "Shape", "interface Shape\n    double area();\n"),
    ("c", "store_name", "char *store_name(void)\n"),
    ("ruby", "LIMIT", "LIMIT = 3\n"),
    ("php", "make", "function make(string $name): Store\n"),
]  # fmt: skip


@pytest.mark.parametrize(("language", "name", "outline"), OUTLINES)
def test_outlines_of_top_level_definitions(language: str, name: str, outline: str) -> None:
    definitions, _ = extract_symbols(parse(SOURCES[language][1], language))
    assert next(one.outline for one in definitions if one.name == name) == outline


@pytest.mark.parametrize("language", sorted(SOURCES))
@given(data=st.data())
@settings(deadline=None, max_examples=15)
def test_broken_code_never_fails(language: str, data: st.DataObject) -> None:
    text = SOURCES[language][1]
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    text = (
        text[:start]
        + data.draw(st.sampled_from(["", "é{", '"', "/*", "\ud800", "\r\n}"]))
        + text[end:]
    )
    offset = data.draw(st.integers(0, len(text)))
    tree = parse(text, language)
    extract_symbols(tree)
    decide(tree, offset)
    enclosing_scopes(tree, offset)
    for hole in find_holes(tree):
        assert 0 <= hole.start < hole.end <= len(text)
        assert text[hole.start : hole.end].strip()
