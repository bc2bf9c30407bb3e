/** The life of the server process: started, restarted after crashes and stopped, with one status at every moment. */

import { mkdir } from "node:fs/promises";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { InlineCompletionItem, LogOutputChannel, TextDocument } from "vscode";
import {
  CloseAction,
  ErrorAction,
  LanguageClient,
  type Middleware,
  RevealOutputChannelOn,
  State,
} from "vscode-languageclient/node";
import { Backoff } from "./backoff";
import { completedLanguages } from "./languages";
import {
  didChangeEmptyReason,
  didChangeStatus,
  didFindNoGain,
  didFocus,
  didPartiallyAccept,
  latestResult,
  type Status,
  type Statistics,
  statistics,
} from "./protocol";
import { attune } from "./serverCommand";
import { readSettings, type Settings } from "./settings";
import { tracing } from "./tracing";

// The library's own two seconds are less than a loaded machine takes to answer; VS Code waits five for an extension.
const STOP_TIMEOUT_MS = 5_000;
const SEE_LOG = "see “Attune: Show Log”, then run “Attune: Restart Server”.";

/** Hears what the server tells. */
export interface Listener {
  status(status: Status): void;
  emptyReason(message: string | null): void;
  promptHasNoGain(prompt: string): void;
}

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
  private readonly backoff = new Backoff();
  private waiting: NodeJS.Timeout | undefined;
  private crashedClient: LanguageClient | undefined;

  /**
   * `folder` is the server's working directory, made when it is missing; `findPython` answers the interpreter
   * that runs attune, and may take its time.
   */
  constructor(
    readonly folder: string,
    private readonly findPython: (settings: Settings) => Promise<string>,
    private readonly middleware: Middleware,
    private readonly log: LogOutputChannel,
    private readonly listener: Listener,
  ) {}

  /** Starts the server with the settings of this moment; calls during a restart lead to one more, however many. */
  restart(): Promise<void> {
    this.backoff.reset();
    return this.startAgain();
  }

  async stop(): Promise<void> {
    this.restartWanted = false;
    clearTimeout(this.waiting);
    await this.restarting;
    await this.stopClient();
  }

  /** The figures of the user's own typing; undefined without a running server. */
  async statistics(): Promise<Statistics | undefined> {
    return this.client?.isRunning() ? this.client.sendRequest(statistics, {}) : undefined;
  }

  /** How the latest answer in a document came about, in words; undefined if there was none. */
  async latestResult(document: TextDocument): Promise<string | undefined> {
    if (!this.client?.isRunning()) {
      return undefined;
    }
    const uri = this.client.code2ProtocolConverter.asUri(document.uri);
    return (await this.client.sendRequest(latestResult, { textDocument: { uri } }))?.message;
  }

  /** The document is looked at now: the server may compute ahead what its first request will need. */
  focused(document: TextDocument): void {
    if (this.client?.isRunning()) {
      const uri = this.client.code2ProtocolConverter.asUri(document.uri);
      void this.client.sendNotification(didFocus, { textDocument: { uri } });
    }
  }

  /** So many UTF-16 units of one of the server's items were accepted so far. */
  partiallyAccepted({ insertText, range, command }: InlineCompletionItem, acceptedLength: number): void {
    if (this.client?.isRunning() && typeof insertText === "string" && range !== undefined && command !== undefined) {
      const { code2ProtocolConverter: to } = this.client;
      const item = { insertText, range: to.asRange(range), command: to.asCommand(command) };
      void this.client.sendNotification(didPartiallyAccept, { item, acceptedLength });
    }
  }

  private startAgain(): Promise<void> {
    clearTimeout(this.waiting);
    this.restartWanted = true;
    this.restarting ??= this.restartWhileWanted().finally(() => {
      this.restarting = undefined;
    });
    return this.restarting;
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
        this.listener.status({ kind: "Error", busy: false, message });
      }
    }
  }

  private async startClient(): Promise<void> {
    const settings = readSettings();
    if (!settings.enable) {
      this.listener.status({ kind: "Inactive", busy: false, message: "Off; set attune.enable to turn it on." });
      return;
    }
    this.listener.status({ kind: "Normal", busy: true, message: "Starting." });
    await mkdir(this.folder, { recursive: true });
    const python = await this.findPython(settings);
    if (this.restartWanted) {
      return; // the settings have changed meanwhile
    }
    const args = attune("serve");
    this.log.info(`Starting ${[python, ...args].join(" ")}`);
    const command = { command: python, args, options: { cwd: this.folder, env: environment(settings) } };
    const client = new QuietClient("attune", "Attune", command, {
      documentSelector: completedLanguages(settings.model).map((language) => ({ language, scheme: "file" })),
      initializationOptions: serverOptions(settings),
      outputChannel: this.log,
      traceOutputChannel: tracing(this.log),
      stdioOptions: { stdout: logLines, stderr: logLines },
      revealOutputChannelOn: RevealOutputChannelOn.Never,
      middleware: this.middleware,
      // Without a handler the library shows a pop-up.
      initializationFailedHandler: () => false,
      errorHandler: {
        error: () => ({ action: ErrorAction.Continue, handled: true }),
        closed: () => {
          this.crashed(client);
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
    });
    this.client = client;
    const heard = <T>(tell: (value: T) => void) => (value: T) => {
      if (client === this.client) {
        tell(value); // a client that has been replaced has no say
      }
    };
    client.onNotification(didChangeStatus, heard((status) => this.listener.status(status)));
    client.onNotification(didChangeEmptyReason, heard(({ message }) => this.listener.emptyReason(message)));
    client.onNotification(didFindNoGain, heard(({ prompt }) => this.listener.promptHasNoGain(prompt)));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.StartFailed) {
        this.crashed(client);
      }
    });
    this.backoff.started();
    // Not awaited, so that a restart also helps against a server that never answers. A failed start is told by
    // the state, and the library has logged why.
    void client.start().catch(() => undefined);
  }

  /** The client's server has gone without being asked to: once for every client, wait and start again. */
  private crashed(client: LanguageClient): void {
    if (client !== this.client || client === this.crashedClient) {
      return;
    }
    this.crashedClient = client;
    const wait = this.backoff.next();
    if (wait === undefined) {
      this.listener.status({ kind: "Error", busy: false, message: `The server stopped again and again: ${SEE_LOG}` });
      return;
    }
    const message = `The server stopped; it starts again in ${wait / 1000} s.`;
    this.log.warn(message);
    this.listener.status({ kind: "Warning", busy: true, message });
    this.waiting = setTimeout(() => void this.startAgain(), wait);
  }

  private async stopClient(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    // A client that is still starting rejects, but ends its process all the same.
    await client?.dispose(STOP_TIMEOUT_MS).catch((error) => this.log.debug(`Not stopped: ${error}`));
  }
}

/** The settings as the server's `initializationOptions`; their defaults are the server's too. */
function serverOptions(settings: Settings): Record<string, unknown> {
  return {
    prompt: settings.promptFile,
    enable: settings.enable,
    trusted: settings.trusted,
    comparisonShare: settings.comparisonShare,
    statistics: settings.statistics,
  };
}

/** The environment of every process of attune. */
export function environment(settings: Settings): NodeJS.ProcessEnv {
  return settings.model === null ? process.env : { ...process.env, ATTUNE_MODEL: settings.model };
}

/** Each line of the server's log names its own level; the library would call them all errors. */
function logLines(stream: Readable, log: LogOutputChannel): void {
  createInterface({ input: stream }).on("line", (line) => log.info(line));
}
