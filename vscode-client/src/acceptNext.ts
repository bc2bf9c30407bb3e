/**
 * Accepts the next word or line of the grey text by VS Code's own command, and tells what of a suggestion was accepted:
 * VS Code itself tells it only to extensions that use its proposed interface.
 */

import { commands, type Disposable, type InlineCompletionItem, type TextDocument, workspace } from "vscode";
import { acceptedLength } from "./acceptedLength";

/** Hears how many UTF-16 units of the item's text are accepted so far. */
export type PartialAcceptance = (item: InlineCompletionItem, acceptedLength: number) => void;

interface Offered {
  readonly document: TextDocument;
  readonly item: InlineCompletionItem;
  readonly text: string;
  /** Where the text goes. */
  readonly start: number;
}

export class AcceptNext {
  private offered: readonly Offered[] = [];

  constructor(private readonly tell: PartialAcceptance) {}

  /** The editor has been given these items, in place of all before. */
  offer(document: TextDocument, items: readonly InlineCompletionItem[]): void {
    this.offered = items.flatMap((item) =>
      typeof item.insertText === "string" && item.range !== undefined
        ? [{ document, item, text: item.insertText, start: document.offsetAt(item.range.start) }]
        : [],
    );
  }

  async run(part: "Word" | "Line"): Promise<void> {
    let heard: Disposable | undefined = workspace.onDidChangeTextDocument(({ document, contentChanges }) => {
      for (const { item, text, start } of this.offered.filter((one) => one.document === document)) {
        for (const change of contentChanges) {
          const length = acceptedLength(text, start, change, document.getText());
          if (length !== undefined) {
            this.tell(item, length);
            heard?.dispose(); // what is typed next is not this command's
            return;
          }
        }
      }
    });
    try {
      await commands.executeCommand(`editor.action.inlineSuggest.acceptNext${part}`);
    } finally {
      heard.dispose();
    }
  }
}
