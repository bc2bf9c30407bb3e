/** The life of the server process: started, restarted and stopped, with one status at every moment. */

import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { LogOutputChannel } from "vscode";
import { LanguageClient, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import { didChangeStatus, type Status } from "./protocol";
import { findServerCommand } from "./serverCommand";
import { readSettings } from "./settings";

const SEE_LOG = "see “Attune: Show Log”, then run “Attune: Restart Server”.";

/** A client whose failures appear in the log and the status bar, never as a pop-up. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

export class Server {
  private client: LanguageClient | undefined;
  private restarting: Promise<void> | undefined;
  private restartWanted = false;

  /** `folder` is the server's working directory, made when it is missing. */
  constructor(
    private readonly folder: string,
    private readonly log: LogOutputChannel,
    private readonly show: (status: Status) => void,
  ) {}

  /** Starts the server with the settings of this moment; calls during a restart lead to one more, however many. */
  restart(): Promise<void> {
    this.restartWanted = true;
    this.restarting ??= this.restartWhileWanted().finally(() => {
      this.restarting = undefined;
    });
    return this.restarting;
  }

  async stop(): Promise<void> {
    this.restartWanted = false;
    await this.restarting;
    await this.stopClient();
  }

  private async restartWhileWanted(): Promise<void> {
    while (this.restartWanted) {
      this.restartWanted = false;
      await this.stopClient();
      try {
        await this.startClient();
      } catch (error) {
        const message = error instanceof Error ? error.message : String(error);
        this.log.error(message);
        this.show({ kind: "Error", busy: false, message });
      }
    }
  }

  private async startClient(): Promise<void> {
    const settings = readSettings();
    if (!settings.enable) {
      this.show({ kind: "Inactive", busy: false, message: "Off; set attune.enable to turn it on." });
      return;
    }
    this.show({ kind: "Normal", busy: true, message: "Starting." });
    await mkdir(this.folder, { recursive: true });
    const command = await findServerCommand(settings.pythonPath, this.folder);
    this.log.info(`Starting ${[command.command, ...(command.args ?? [])].join(" ")}`);
    const client = new QuietClient("attune", "Attune", command, {
      documentSelector: [{ language: "python", scheme: "file" }],
      initializationOptions: { prompt: settings.promptFile, enable: settings.enable },
      outputChannel: this.log,
      stdioOptions: { stdout: logLines, stderr: logLines },
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      // Without a handler the library shows a pop-up; its error handler decides about another attempt.
      initializationFailedHandler: () => false,
    });
    this.client = client;
    client.onNotification(didChangeStatus, (status) => this.showOf(client, status));
    client.onDidChangeState(({ newState }) => this.showOf(client, statusOf(newState)));
    // Not awaited, so that a restart also helps against a server that never answers. A failed start is told by
    // the state, and the library has logged why.
    void client.start().catch(() => undefined);
  }

  private async stopClient(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    // A client that is still starting rejects, but ends its process all the same.
    await client?.dispose().catch((error) => this.log.debug(`Not stopped: ${error}`));
  }

  /** A client that has been replaced has no say in the status. */
  private showOf(client: LanguageClient, status: Status | undefined): void {
    if (client === this.client && status !== undefined) {
      this.show(status);
    }
  }
}

/** Each line of the server's log names its own level; the library would call them all errors. */
function logLines(stream: Readable, log: LogOutputChannel): void {
  createInterface({ input: stream }).on("line", (line) => log.info(line));
}

/** What the client itself knows; a running server tells its own status. */
function statusOf(state: State): Status | undefined {
  switch (state) {
    case State.Starting:
      return { kind: "Normal", busy: true, message: "Starting." };
    case State.StartFailed:
      return { kind: "Error", busy: false, message: `The server did not start: ${SEE_LOG}` };
    case State.Stopped:
      return { kind: "Error", busy: false, message: `The server stopped: ${SEE_LOG}` };
    case State.Running:
      return undefined;
  }
}
