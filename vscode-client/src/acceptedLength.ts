/** How much of a suggestion stands in the document. Knows nothing of VS Code. */

export interface Change {
  readonly rangeOffset: number;
  readonly text: string;
}

/**
 * UTF-16 units from the start of `suggestion` on that stand at `start` in the document, now that `change` has inserted
 * a part of it; undefined if the change inserted nothing, something else, or the end of it: accepting the whole is
 * told by the suggestion's own command.
 */
export function acceptedLength(suggestion: string, start: number, change: Change, document: string): number | undefined {
  const stands = document.slice(start, change.rangeOffset + change.text.length);
  const isPart = change.rangeOffset >= start && change.text !== "" && stands.length < suggestion.length;
  return isPart && suggestion.startsWith(stands) ? stands.length : undefined;
}
