/** The one message that Attune adds to the language server protocol. */

import { NotificationType } from "vscode-languageclient/node";

/** What the status bar shows; `message` is one sentence. */
export interface Status {
  readonly kind: "Normal" | "Warning" | "Error" | "Inactive";
  readonly busy: boolean;
  readonly message: string;
}

export const didChangeStatus = new NotificationType<Status>("attune/didChangeStatus");
