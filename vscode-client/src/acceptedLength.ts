/** How much of a suggestion the document holds. Knows nothing of VS Code. */

export interface Change {
  readonly rangeOffset: number;
  readonly text: string;
}

/**
 * Number of UTF-16 units, from the start of `suggestion`, that the document holds at offset `start`, after `change` has
 * inserted a part of it. Undefined if the change inserted nothing, something else, or the end of the suggestion: the
 * suggestion's own command reports that the whole was accepted.
 */
export function acceptedLength(suggestion: string, start: number, change: Change, document: string): number | undefined {
  const inserted = document.slice(start, change.rangeOffset + change.text.length);
  const isPart = change.rangeOffset >= start && change.text !== "" && inserted.length < suggestion.length;
  return isPart && suggestion.startsWith(inserted) ? inserted.length : undefined;
}
