/** The log to which the library writes the protocol's messages. */

import { type LogOutputChannel, LogLevel, workspace } from "vscode";

/**
 * The log, in which `attune.trace.server` alone decides whether it holds messages. The library also asks for the log's
 * own level to be Trace, which users would have to set elsewhere.
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
