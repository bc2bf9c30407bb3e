"""Grey text as people expect it: a real VS Code and the real server, with a script as the model."""

import json
import sqlite3

import pytest

from lsp_server.ab_test import PERIOD_S
from lsp_server.sequential_test import MIN_CLUSTERS
from lsp_server.server import STATISTICS_FILE
from lsp_server.statistics import SCHEMA

pytestmark = pytest.mark.e2e

PARTIAL_ACCEPTANCE = "Sending notification 'textDocument/didPartiallyAcceptCompletion'"
TAB, ESCAPE, UNDO = {"press": "Tab"}, {"press": "Escape"}, {"press": "Control+z"}


def test_accepting_all_of_it(play, workspace, scripted):
    """Tab accepts, one step of undo takes it back, and redo brings it again."""
    result = play(
        workspace.write("main.py", "def main():\n    $0\n"),
        scripted([["one = ", "first + second"]]),
        {"statusSays": "script"},
        {"type": "one = "},
        {"ghostIs": "first + second"},
        TAB,
        {"save": True},
        {"note": "main.py"},
        UNDO,
        {"save": True},
        {"note": "main.py"},
        {"press": "Control+y"},
        {"save": True},
        {"note": "main.py"},
    )
    accepted, undone = "def main():\n    one = first + second\n", "def main():\n    one = \n"
    assert result["notes"] == [accepted, undone, accepted]
    assert result["errors"] == []


def test_accepting_parts_and_alternatives(play, workspace, scripted):
    """A word, the next suggestion, one that is typed through and then left, and a line."""
    settings = scripted(
        [
            ["two = ", "alpha + beta"],
            ["three = ", "left", "right"],
            ["four = ", "typed(through)"],
            ["five(", "a,\n        b,\n    )"],
        ]
    )
    word = (
        {"type": "two = "},
        {"ghostIs": "alpha + beta"},
        {"press": "Control+ArrowRight"},
        {"ghostIs": " + beta"},
        {"save": True},
        {"note": "main.py"},
        ESCAPE,
        {"ghostIs": ""},
        {"press": "Enter"},
    )
    alternatives = (
        {"type": "three = "},
        {"ghostIs": "left"},
        {"press": "Alt+]"},
        {"ghostIs": "right"},
        {"press": "Alt+["},
        {"ghostIs": "left"},
        {"press": "Alt+]"},
        {"ghostIs": "right"},
        TAB,
        {"press": "Enter"},
    )
    typed_through = (
        {"type": "four = "},
        {"ghostIs": "typed(through)"},
        {"type": "typed("},
        {"ghostIs": "through)"},
        {"type": "x)"},
        {"ghostIs": ""},
        {"press": "Enter"},
    )
    line = (
        {"type": "five("},
        {"ghostIs": "a,\n        b,\n    )"},
        {"press": "Control+Alt+l"},
        {"save": True},
        {"note": "main.py"},
    )
    start = workspace.write("main.py", "def main():\n    $0\n")
    steps = ({"statusSays": "script"}, *word, *alternatives, *typed_through, *line)
    after_word, after_line = play(start, settings, *steps)["notes"]
    assert after_word == "def main():\n    two = alpha\n"
    before = "def main():\n    two = alpha\n    three = right\n"
    assert after_line.rstrip() == before + "    four = typed(x)\n    five(a,"


def test_beside_lists_and_snippets(play, workspace, scripted):
    """No frame without grey text while it is typed through; beside the suggestion list; in a
    snippet's placeholder, from which Tab then still leads to the next one."""
    (workspace.folder / ".vscode").mkdir()
    body = {"Make": {"prefix": "mk", "scope": "python", "body": "make(${1}, ${2})$0"}}
    (workspace.folder / ".vscode" / "make.code-snippets").write_text(json.dumps(body))
    settings = scripted([["one = ", "first + second + third"], ["make(or", "der"], ["two = ", "b"]])
    result = play(
        workspace.write("main.py", "$0\n"),
        settings
        | {
            "editor.wordBasedSuggestions": "currentDocument",
            "editor.inlineSuggest.suppressInSnippetMode": False,  # VS Code's default is silence
        },
        {"statusSays": "script"},
        {"type": "one = "},
        {"ghostIs": "first + second + third"},
        {"typeThrough": "first + sec"},
        {"ghostIs": "ond + third"},
        TAB,
        {"press": "Enter"},
        # the list is open, and then away
        {"type": "two = "},
        {"ghostIs": "b"},
        {"press": "Control+Space"},
        {"suggestions": True},
        ESCAPE,
        {"ghostIs": "b"},
        TAB,
        {"press": "Enter"},
        {"command": "Snippets: Insert Snippet"},
        {"pick": "mk"},
        {"type": "or"},
        {"ghostIs": "der"},
        TAB,
        TAB,
        {"type": "size"},
        TAB,
        {"type": ".start()"},
        {"save": True},
        {"note": "main.py"},
    )
    assert result["gaps"] == 0
    text = "one = first + second + third\ntwo = b\nmake(order, size).start()\n"
    assert result["notes"] == [text]
    assert result["errors"] == []


def test_grey_text_follows_the_suggestion_list(play, workspace, scripted):
    """It continues the selected entry or stays away; Tab takes the entry, and Escape closes the
    list before it drops the grey text."""
    result = play(
        workspace.write("main.py", "beta_first = beta_second = 0\n$0\n"),
        scripted([["one = be", "ta_first(x)"], ["two = be", "ta_second(y)"]])
        | {"editor.wordBasedSuggestions": "currentDocument"},
        {"statusSays": "script"},
        {"type": "one = be"},
        {"ghostIs": "ta_first(x)"},
        {"press": "Control+Space"},
        {"selected": "beta_first"},
        {"ghostIs": "ta_first(x)"},
        {"press": "ArrowDown"},
        {"selected": "beta_second"},
        {"ghostIs": ""},
        # the answer is there: while it is waited for, VS Code asks nothing for the next entry
        {"statusSays": "adds nothing here"},
        {"press": "ArrowUp"},
        {"selected": "beta_first"},
        {"ghostIs": "ta_first(x)"},
        TAB,
        {"ghostIs": "(x)"},
        {"save": True},
        {"note": "main.py"},
        TAB,
        {"press": "Enter"},
        {"type": "two = be"},
        {"ghostIs": "ta_second(y)"},
        {"press": "Control+Space"},
        {"selected": "beta_second"},  # the entry that the grey text begins with
        {"ghostIs": "ta_second(y)"},
        ESCAPE,
        {"suggestions": False},
        {"ghostIs": "ta_second(y)"},
        ESCAPE,
        {"ghostIs": ""},
        {"save": True},
        {"note": "main.py"},
    )
    before = "beta_first = beta_second = 0\none = beta_first"
    assert result["notes"] == [f"{before}\n", f"{before}(x)\ntwo = be\n"]
    assert result["errors"] == []


def test_texts_of_every_kind(play, workspace, scripted):
    """Blocks in blocks, CRLF, astral characters, brackets that the editor closes, two files."""
    settings = scripted(
        [
            ["if ready:", "\n            for one in many:\n                yield one"],
            ["if crlf:", "\r\n        return 1"],
            ['smile = "😀" + ', "name"],
            ["call(", "first, [second])"],
        ]
    )
    workspace.write("crlf.py", "def main():\r\n    \r\n")
    result = play(
        workspace.write("block.py", "class A:\n    def main(self):\n        $0\n"),
        settings | {"editor.autoClosingBrackets": "always"},
        {"statusSays": "script"},
        {"type": "if ready:"},
        {"ghostIs": "\n            for one in many:\n                yield one"},
        TAB,
        {"press": "Enter"},
        {"type": 'smile = "😀" + '},
        {"ghostIs": "name"},
        TAB,
        {"press": "Enter"},
        {"type": "call("},
        {"ghostIs": "first, [second]"},
        TAB,
        {"save": True},
        {"note": "block.py"},
        {"open": "crlf.py"},
        {"goto": [2, 5]},
        {"type": "if crlf:"},
        {"ghostIs": "\n        return 1"},
        TAB,
        {"save": True},
        {"note": "crlf.py"},
    )
    block, crlf = result["notes"]
    assert block == (
        "class A:\n    def main(self):\n        if ready:\n            for one in many:\n"
        '                yield one\n                smile = "😀" + name\n'
        "                call(first, [second])\n"
    )
    assert crlf == "def main():\r\n    if crlf:\r\n        return 1\r\n"


def test_drafts_and_notebooks(play, workspace, scripted):
    """A file that was never saved, and a cell of a notebook."""
    cells = [
        {"cell_type": "code", "source": [text], "metadata": {}, "outputs": []}
        for text in ("import os", "one")
    ]
    kernel = {"language_info": {"name": "python"}}
    notebook = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    workspace.write("work.ipynb", json.dumps(notebook))
    result = play(
        workspace.write("main.py", "$0"),
        scripted([["one = ", "first + second"]]),
        {"statusSays": "script"},
        {"draft": "Python"},
        {"type": "one = "},
        {"ghostIs": "first + second"},
        {"cell": ["work.ipynb", "one"]},
        {"type": " = "},
        {"ghostIs": "first + second"},
        TAB,
        {"save": True},
    )
    assert result["errors"] == []
    saved = json.loads(workspace.text("work.ipynb"))
    assert "".join(saved["cells"][1]["source"]) == "one = first + second"


def test_staying_in_charge(play, workspace, scripted, attune_home):
    """Off for a file and on again, snoozed and awake, a server that dies, and the counts."""
    result = play(
        workspace.write("main.py", "$0\n"),
        scripted([["one = ", "first"], ["two = ", "second"], ["three = ", "third"]]),
        {"statusSays": "script"},
        {"command": "Attune: Turn Off or On Here"},
        {"pick": "for this file"},
        {"statusSays": "Off for this file"},
        {"type": "one = "},
        {"ghostIs": ""},
        {"command": "Attune: Turn Off or On Here"},
        {"pick": "for this file"},
        {"statusSays": "script"},
        {"press": "Backspace"},
        {"type": " "},
        {"ghostIs": "first"},
        TAB,
        {"press": "Enter"},
        {"command": "Attune: Snooze"},
        {"pick": "5 minutes"},
        {"statusSays": "Snoozing until"},
        {"type": "two = "},
        {"ghostIs": ""},
        {"command": "Attune: Snooze"},
        {"statusSays": "script"},
        {"press": "Backspace"},
        {"type": " "},
        {"ghostIs": "second"},
        {"killServer": True},
        # only the new server's sentence counts: the status bar is drawn after the log is written
        {"logSays": r"it starts again in 0\.5 s[\s\S]*Serving on standard input"},
        {"statusSays": "Ready with a script"},
        TAB,
        {"press": "Enter"},
        {"type": "three = "},
        {"ghostIs": "third"},
        TAB,
        {"save": True},
        {"note": "main.py"},
        {"command": "Attune: Show Statistics"},
        {"page": "characters accepted"},
    )
    assert result["notes"] == ["one = first\ntwo = second\nthree = third\n"]
    [page] = result["pages"]
    assert "accepted" in page
    assert str(attune_home) in page
    assert result["popUps"] == []


def test_accepted_parts_are_reported(play, workspace, scripted, attune_home):
    """By name where the editor's edit looks as if a character had been typed; counted once."""
    result = play(
        workspace.write("main.py", "$0\n"),
        scripted([["one", "(alpha) + beta"], ["two = ", "first(\n    a,\n)"]])
        | {"attune.trace.server": "messages"},
        {"statusSays": "script"},
        {"type": "one"},
        {"ghostIs": "(alpha) + beta"},
        {"press": "Control+ArrowRight"},
        {"ghostIs": "alpha) + beta"},
        {"logSays": PARTIAL_ACCEPTANCE},
        {"press": "Control+ArrowRight"},
        {"ghostIs": ") + beta"},
        {"type": ")"},
        {"ghostIs": " + beta"},
        ESCAPE,
        {"press": "Enter"},
        # line by line, by VS Code's own command: the edit says it
        {"type": "two = "},
        {"ghostIs": "first(\n    a,\n)"},
        {"press": "Control+Alt+l"},
        {"ghostSays": "a,"},
        ESCAPE,
        {"press": "Enter"},
        {"save": True},
        {"logSays": rf"{PARTIAL_ACCEPTANCE}[\s\S]*{PARTIAL_ACCEPTANCE}"},
    )
    assert result["errors"] == []
    with sqlite3.connect(attune_home / STATISTICS_FILE) as rows:
        counted = rows.execute(
            "SELECT how, offered, taken FROM suggestions WHERE how <> 'not shown' ORDER BY number"
        )
        assert counted.fetchall() == [("partially accepted", 14, 6), ("partially accepted", 15, 7)]
    rows.close()


def test_rollback_of_a_prompt_without_gain(play, workspace, scripted, attune_home):
    """Enough suggestions for a verdict: all with the prompt were rejected, all without accepted."""
    attune_home.mkdir()
    with sqlite3.connect(attune_home / STATISTICS_FILE) as rows:
        rows.execute(SCHEMA)
        rows.executemany(
            "INSERT INTO suggestions "
            "(id, settled_at, suffix, prompt, compared, how, offered, taken, kept_120)"
            " VALUES (?, ?, '.py', 'team@1234', ?, ?, 9, ?, ?)",
            [
                (str(number), PERIOD_S * number, without_prompt, kind, length, length)
                for number in range(2 * MIN_CLUSTERS)
                for without_prompt, kind, length in [
                    (1, "accepted", 9) if number % 2 else (0, "rejected", 0)
                ]
            ],
        )
    rows.close()
    result = play(
        workspace.write("main.py", "$0\n"),
        scripted([["one = ", "first"]], "team@1234") | {"attune.comparisonShare": 0},
        {"statusSays": "script"},
        {"type": "one = "},
        {"ghostIs": "first"},
        TAB,
        {"notice": "your typing shows no gain from the prompt “team”"},  # after fifteen seconds
        {"click": "Turn It Off"},
        {"logSays": r"-m attune serve[\s\S]*-m attune serve"},
        {"note": ".vscode/settings.json"},
    )
    [settings] = result["notes"]
    assert json.loads(settings) == {"attune.promptFile": "none"}
