"""What will be asked once an answer is accepted, so that it can be answered ahead."""

from dataclasses import replace

from completion.edit_range import replaced_length
from completion.request import CompletionRequest, CompletionResult


def following(request: CompletionRequest, answer: CompletionResult) -> list[CompletionRequest]:
    """The requests that will come after the answer is accepted, in their order."""
    line_end = _line_end(request.text, request.offset)
    right = request.text[request.offset : line_end]
    behind = request.text[request.offset + replaced_length(answer.text, right) :]
    before = request.text[: request.offset] + answer.text
    accepted = replace(request, text=before + behind, offset=len(before), explicit=False)
    found = [accepted] if answer.text else []
    line = before[before.rfind("\n") + 1 :]
    if not answer.text and answer.reason != "nothing_to_add":
        return []
    if line.strip() and not behind[: _line_end(behind, 0)].strip():
        newline = "\r\n" if "\r\n" in request.text else "\n"
        entered = before + newline + _indentation_after(line)
        found.append(replace(accepted, text=entered + behind, offset=len(entered)))
    return found


def _indentation_after(line: str) -> str:
    """As an editor indents the line after this one: deeper behind a colon or an opening bracket."""
    own = line[: len(line) - len(line.lstrip())]
    if not line.rstrip().endswith((":", "(", "[", "{")):
        return own
    return own + ("\t" if "\t" in own else "    ")


def _line_end(text: str, offset: int) -> int:
    ends = [end for mark in "\r\n" if (end := text.find(mark, offset)) >= 0]
    return min(ends, default=len(text))
