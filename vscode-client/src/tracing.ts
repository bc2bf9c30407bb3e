/** Where the library writes the protocol's messages. */

import { type LogOutputChannel, LogLevel, workspace } from "vscode";

/**
 * The log, with `attune.trace.server` alone to decide whether messages are in it: the library asks for the level
 * Trace of the log too, which users set elsewhere.
 */
export function tracing(log: LogOutputChannel): LogOutputChannel {
  const level = () => (workspace.getConfiguration("attune").get("trace.server") === "off" ? LogLevel.Info : LogLevel.Trace);
  const onDidChangeLogLevel: LogOutputChannel["onDidChangeLogLevel"] = (listener) =>
    workspace.onDidChangeConfiguration((event) => {
      if (event.affectsConfiguration("attune.trace")) {
        listener(level());
      }
    });
  return Object.create(log, {
    logLevel: { get: level },
    onDidChangeLogLevel: { value: onDidChangeLogLevel },
    trace: { value: (message: string) => log.info(message) },
  });
}
