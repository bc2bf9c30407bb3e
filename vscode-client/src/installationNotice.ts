/** The notice that shows an installation, with a button that stops it. */

import { type LogOutputChannel, ProgressLocation, window } from "vscode";
import type { ShowInstallation } from "./serverCommand";

const MAX_MESSAGE = 80;

/** What is shown is logged too. An installation that was stopped goes on at the next start. */
export function installationNotice(log: LogOutputChannel): ShowInstallation {
  const options = { location: ProgressLocation.Notification, title: "Attune: setting up, once", cancellable: true };
  return (work) =>
    window.withProgress(options, async (progress, token) => {
      const controller = new AbortController();
      token.onCancellationRequested(() => controller.abort());
      const report = (line: string) => {
        log.info(line);
        progress.report({ message: line.slice(0, MAX_MESSAGE) });
      };
      try {
        return await work(report, controller.signal);
      } catch (error) {
        throw token.isCancellationRequested
          ? new Error("Setting up was stopped; “Attune: Restart Server” continues it.")
          : error;
      }
    });
}
