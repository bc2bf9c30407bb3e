/**
 * Accepts the next word or line of the grey text by VS Code's own command, and reports how much of the suggestion was
 * accepted. VS Code itself reports that only to extensions that use its proposed API.
 */

import { commands, type Disposable, type InlineCompletionItem, type TextDocument, workspace } from "vscode";
import { acceptedLength } from "./acceptedLength";

/** Called with the number of UTF-16 units of the item's text that are accepted so far. */
export type OnPartialAcceptance = (item: InlineCompletionItem, acceptedLength: number) => void;

interface ShownItem {
  readonly document: TextDocument;
  readonly item: InlineCompletionItem;
  readonly text: string;
  /** Offset at which the text is inserted. */
  readonly start: number;
}

export class AcceptNext {
  private shown: readonly ShownItem[] = [];

  constructor(private readonly onPartialAcceptance: OnPartialAcceptance) {}

  /** The editor has received these items, in place of all earlier ones. */
  setItems(document: TextDocument, items: readonly InlineCompletionItem[]): void {
    this.shown = items.flatMap((item) =>
      typeof item.insertText === "string" && item.range !== undefined
        ? [{ document, item, text: item.insertText, start: document.offsetAt(item.range.start) }]
        : [],
    );
  }

  async run(part: "Word" | "Line"): Promise<void> {
    let subscription: Disposable | undefined = workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      for (const { item, text, start } of this.shown.filter((entry) => entry.document === document)) {
        for (const change of contentChanges) {
          const length = acceptedLength(text, start, change, document.getText());
          if (length !== undefined) {
            this.onPartialAcceptance(item, length);
            subscription?.dispose(); // later changes are not this command's
            return;
          }
        }
      }
    });
    try {
      await commands.executeCommand(`editor.action.inlineSuggest.acceptNext${part}`);
    } finally {
      subscription.dispose();
    }
  }
}
