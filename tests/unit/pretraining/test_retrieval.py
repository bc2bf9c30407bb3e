"""Retrieval for training rows: other files that share rare names with the text at the cursor."""

import random

from pretraining.corpus import Document
from pretraining.retrieval import Retrieval, random_chunk

COMMON = "import logging\n\nlogger = logging.getLogger(__name__)\n\n\n"
DEFINES = COMMON + "def open_valve(pressure):\n    return pressure * 2\n"
USES = COMMON + "def main():\n    return open_valve(3)\n"
UNRELATED = COMMON + "def paint(colour):\n    return colour\n"


def package() -> Retrieval:
    return Retrieval(
        [
            Document("p", "p/cursor.py", "def run():\n    return open_valve(9)\n"),
            Document("p", "p/uses.py", USES),
            Document("p", "p/defines.py", DEFINES),
            Document("p", "p/unrelated.py", UNRELATED),
        ]
    )


def test_the_definition_of_a_rare_name_comes_first() -> None:
    snippets = package().chosen("x = open_valve(", "p/cursor.py", random.Random(0), 3)
    assert [snippet.path for snippet in snippets] == ["p/defines.py", "p/uses.py"]
    assert "def open_valve" in snippets[0].text


def test_the_cursors_own_file_and_names_that_no_other_file_has_give_nothing() -> None:
    retrieval = package()
    elsewhere = retrieval.chosen("open_valve", "p/uses.py", random.Random(0), 9)
    assert [snippet.path for snippet in elsewhere] == ["p/defines.py", "p/cursor.py"]
    here = retrieval.chosen("open_valve", "p/cursor.py", random.Random(0), 9)
    assert [snippet.path for snippet in here] == ["p/defines.py", "p/uses.py"]
    assert retrieval.chosen("nowhere_else", "p/cursor.py", random.Random(0), 2) == []


def test_the_same_draw_gives_the_same_chunks() -> None:
    first, again = (
        package().chosen("open_valve(logger)", "p/cursor.py", random.Random(7), 2) for _ in "ab"
    )
    assert first == again != []


def test_a_random_chunk_is_part_of_its_file() -> None:
    document = Document("p", "p/defines.py", DEFINES)
    text = random_chunk(document, random.Random(1)).text
    assert text.strip()
    assert text in DEFINES
