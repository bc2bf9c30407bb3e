"""Examples have serving's layout, and held-out holes are what they say."""

from dataclasses import replace

from code_context.context import ContextConfig
from code_model.decoder.model import DecoderModel
from code_model.token_healing import MAX_TOKENS_BACK
from completion.model_input import CompletionPoint, input_and_typed, model_input
from tests.unit.tuning.conftest import FILE
from tuning.config import TuningConfig
from tuning.corpus import SourceFile
from tuning.examples import (
    TrainingExamples,
    fim_example,
    held_out_holes,
    indexed,
    middle_of,
    without_middle,
)

FILES = [SourceFile(f"package/{n}.py", FILE.format(n=n)) for n in range(3)]
ROOM = 200
# two files each speak of the same things, so that retrieval has something to find
PAIRS = [SourceFile(f"package/{n}.py", FILE.format(n=n // 2)) for n in range(10)]
WIDE = 1500  # room for whole chunks of other files


def test_an_example_is_servings_input_and_the_middle(base: DecoderModel) -> None:
    for hole in held_out_holes(base, FILES, config=ContextConfig(), room=ROOM, count=12, seed=1):
        text = without_middle(hole.file, hole.hole)
        point = CompletionPoint.parse(text, hole.file.path, hole.hole.start, config=ContextConfig())
        served = model_input(base.encoder, replace(point, room=ROOM - hole.example.scored))
        middle = base.encoder.encode_middle(middle_of(hole.file, hole.hole))
        assert hole.example.ids == served + middle[: hole.example.scored]
        assert len(hole.example.ids) <= ROOM


def test_a_healed_example_begins_where_serving_begins(left_to_right: DecoderModel) -> None:
    encoder, healed = left_to_right.encoder, 0
    holes = held_out_holes(
        left_to_right, FILES, config=ContextConfig(), room=ROOM, count=12, seed=1
    )
    for hole in holes:
        text = without_middle(hole.file, hole.hole)
        point = CompletionPoint.parse(text, hole.file.path, hole.hole.start, config=ContextConfig())
        room = ROOM - len(encoder.encode_middle(middle_of(hole.file, hole.hole)))
        served, typed = input_and_typed(encoder, replace(point, room=room - MAX_TOKENS_BACK))
        ids, scored = hole.example.ids, hole.example.scored
        assert ids[:-scored] == served
        written = left_to_right.tokenizer.decode(ids[-scored:])
        assert written == typed + middle_of(hole.file, hole.hole) + "<|endoftext|>"
        assert len(ids) <= ROOM
        healed += bool(typed)
    assert healed > 3


def test_the_hidden_middle_is_not_in_the_context(base: DecoderModel) -> None:
    file = SourceFile("a.py", "first = 1\nhidden_value = 4242\nlast = 3\n")
    hole = next(
        hole.hole
        for hole in held_out_holes(base, [file], config=ContextConfig(), room=300, count=20, seed=0)
        if hole.hole.kind == "line" and "hidden" in middle_of(file, hole.hole)
    )
    example = fim_example(base, file, hole, ContextConfig(), 300)
    context = base.tokenizer.decode(example.ids[: -example.scored])
    assert "hidden_value" not in context
    assert "first = 1" in context
    assert "last = 3" in context


def examples(base: DecoderModel, **options) -> TrainingExamples:
    config = TuningConfig(causal_fraction=0.3, **options)
    return TrainingExamples(base, FILES, config=config, room=ROOM, changed=["package/2.py"])


def test_training_examples_are_repeatable_and_fit(base: DecoderModel) -> None:
    def drawn(seed: int) -> list[list[int]]:
        stream = examples(base, seed=seed)
        return [stream[number].ids for number in range(30)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)
    assert examples(base, seed=1)[17].ids == drawn(1)[17], "by number, whatever came before"
    assert max(map(len, drawn(1))) <= ROOM
    fim = [base.encoder.middle_ids[0] in ids for ids in drawn(1)]
    assert any(fim)
    assert not all(fim)


def test_half_of_the_examples_dwell_on_what_changed(base: DecoderModel) -> None:
    texts = [base.tokenizer.decode(examples(base)[number].ids) for number in range(200)]
    share = sum("package/2.py" in text for text in texts) / len(texts)
    assert 0.4 < share < 0.6


def test_docstrings_are_hidden_for_their_task(base: DecoderModel) -> None:
    text = (
        '"""About a module."""\n\n\ndef run(a):\n    """Run it once."""\n'
        "    return 'no docstring'\n"
    )
    holes = held_out_holes(
        base,
        [SourceFile("a.py", text)],
        config=ContextConfig(),
        room=ROOM,
        count=9,
        seed=1,
        task="docstring",
    )
    hidden = {middle_of(hole.file, hole.hole) for hole in holes}
    assert hidden == {"About a module.", "Run it once."}


def test_holes_begin_in_the_newest_lines(base: DecoderModel) -> None:
    holes = held_out_holes(
        base,
        FILES,
        config=ContextConfig(),
        room=ROOM,
        count=9,
        seed=1,
        newest={"package/1.py": {7, 8}},
    )
    for hole in holes:
        line = hole.file.text.count("\n", 0, hole.hole.start)
        assert hole.newest == (hole.file.path == "package/1.py")
        assert not hole.newest or line in (7, 8)
    assert {hole.newest for hole in holes} == {True, False}


def test_held_out_holes_cover_every_file(base: DecoderModel) -> None:
    holes = held_out_holes(base, FILES, config=ContextConfig(), room=ROOM, count=30, seed=1)
    assert {hole.file.path for hole in holes} == {file.path for file in FILES}
    assert all(hole.size > 0 for hole in holes)


def test_more_files_than_asked_for_do_not_cost_more(base: DecoderModel) -> None:
    """An evaluation of a repository of thousands of files must take no longer."""
    count = len(FILES) - 1
    holes = held_out_holes(base, FILES, config=ContextConfig(), room=ROOM, count=count, seed=1)
    assert len(holes) == count


def test_retrieved_code_comes_on_top_of_what_the_file_says(base: DecoderModel) -> None:
    """The same middle behind the same tail; what is retrieved is never the file itself."""
    others = indexed(PAIRS)
    holes = held_out_holes(
        base, PAIRS, config=ContextConfig(), room=WIDE, count=12, seed=1, others=others
    )
    longer = 0
    for hole in holes:
        assert hole.retrieved is not None
        plain, shown = hole.example.ids, hole.retrieved.ids
        assert shown[-hole.retrieved.scored :] == plain[-hole.example.scored :]
        if len(shown) > len(plain):
            longer += 1
            extra = base.tokenizer.decode(shown[: len(shown) - len(plain)])
            assert hole.file.path not in extra.splitlines()[0]
    assert longer > len(holes) / 2


def test_a_share_of_the_holes_has_retrieved_code_in_front(base: DecoderModel) -> None:
    def drawn(share: float) -> list[int]:
        config = TuningConfig(causal_fraction=0.0, retrieved=share)
        stream = TrainingExamples(base, PAIRS, config=config, room=WIDE, others=indexed(PAIRS))
        return [len(stream[number].ids) for number in range(20)]

    plain, half, all_of_them = drawn(0.0), drawn(0.5), drawn(1.0)
    assert sum(plain) < sum(half) < sum(all_of_them)
