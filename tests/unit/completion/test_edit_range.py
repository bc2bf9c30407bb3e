"""Which text right of the cursor a completion replaces. `$0` is the cursor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from completion.edit_range import replaced_length


@pytest.mark.parametrize(
    ("right", "completion", "replaced"),
    [
        (")", "a, b)", ")"),
        (")", "a, b", ""),
        (")", "a, (b)", ""),
        (")]", "a)]", ")]"),
        (")]", "a)", ")"),
        (")]", "a]", ""),
        ("", "a)", ""),
        (") + 1", "a)", ")"),
        (")", '")", x)', ")"),
        (")", "')'", ""),
        ('"', 'name"', '"'),
        ('")', 'name")', '")'),
        ('")', "name", ""),
        ('")', 'na\\"me', ""),
        ("'", "it\\'s'", "'"),
        ("}", "a: {b}}\n", "}"),
        ("x)", "a)", ""),
        ("  ", "a)", ""),
    ],
)
def test_replaced(right, completion, replaced):
    assert right[: replaced_length(completion, right)] == replaced


@given(completion=st.text("ab()[]{}\"'\\\n"), right=st.text("ab()[]{}\"' "))
def test_only_what_the_completion_writes_again(completion, right):
    """Every replaced character is a closer that the completion holds too."""
    replaced = right[: replaced_length(completion, right)]
    assert set(replaced) <= set(")]}\"'")
    assert all(completion.count(bracket) >= replaced.count(bracket) for bracket in replaced)
