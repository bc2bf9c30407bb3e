/** The life of the server process: started, restarted after crashes and stopped, with one status at every moment. */

import { mkdir } from "node:fs/promises";
import type { InlineCompletionItem, LogOutputChannel, TextDocument } from "vscode";
import type { LanguageClient } from "vscode-languageclient/node";
import { Backoff } from "./backoff";
import type { ClientFactory, Listener } from "./client";
import { didFocus, didPartiallyAccept, latestResult, type Statistics, statistics } from "./protocol";
import { readSettings, type Settings } from "./settings";

// The library's own two seconds are less than a loaded machine takes to answer; VS Code waits five for an extension.
const STOP_TIMEOUT_MS = 5_000;
const SEE_LOG = "see “Attune: Show Log”, then run “Attune: Restart Server”.";

export class Server {
  private client: LanguageClient | undefined;
  private restarting: Promise<void> | undefined;
  private restartWanted = false;
  private readonly backoff = new Backoff();
  private restartTimer: NodeJS.Timeout | undefined;

  /** `folder` is made if it is missing; `findPython` returns the interpreter that runs attune, and may take minutes. */
  constructor(
    private readonly folder: string,
    private readonly findPython: (settings: Settings) => Promise<string>,
    private readonly clients: ClientFactory,
    private readonly log: LogOutputChannel,
    private readonly listener: Listener,
  ) {}

  /** Starts the server with the present settings; any number of calls during a restart leads to one more. */
  restart(): Promise<void> {
    this.backoff.reset();
    return this.startAgain();
  }

  async stop(): Promise<void> {
    this.restartWanted = false;
    clearTimeout(this.restartTimer);
    await this.restarting;
    await this.stopClient();
  }

  /** What became of suggestions; undefined without a running server. */
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

  /** The document has the focus now: the server may compute ahead what its first request will need. */
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
    clearTimeout(this.restartTimer);
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
    const client = this.clients.create(python, settings, {
      listener: this.whileCurrent(() => client, () => started),
      onEnd: this.oncePerClient(() => client),
    });
    this.client = client;
    this.backoff.started();
    // Not awaited, so that a restart also helps against a server that never answers. A failed start changes the
    // client's state, and the library has logged the cause.
    const started = client.start().catch(() => undefined);
  }

  /**
   * The listener, deaf to a client that has been replaced. The library registers what gives suggestions after the
   * server has heard that it may begin, so a status is passed on once that is `started`: “ready” means ready.
   */
  private whileCurrent(client: () => LanguageClient, started: () => Promise<void>): Listener {
    const guard =
      <T>(notify: (value: T) => void) =>
      (value: T): void => {
        if (client() === this.client) {
          notify(value);
        }
      };
    const { listener } = this;
    return {
      status: (status) => void started().then(() => guard(listener.status.bind(listener))(status)),
      emptyReason: guard((message) => listener.emptyReason(message)),
      promptHasNoGain: guard((prompt) => listener.promptHasNoGain(prompt)),
    };
  }

  /** Handles the end of the present client's server once: the library reports it up to two times. */
  private oncePerClient(client: () => LanguageClient): () => void {
    let handled = false;
    return () => {
      if (!handled && client() === this.client) {
        handled = true;
        this.crashed();
      }
    };
  }

  /** The server has ended without having been asked to: wait and start it again. */
  private crashed(): void {
    const wait = this.backoff.next();
    if (wait === undefined) {
      this.listener.status({ kind: "Error", busy: false, message: `The server stopped again and again: ${SEE_LOG}` });
      return;
    }
    const message = `The server stopped; it starts again in ${wait / 1000} s.`;
    this.log.warn(message);
    this.listener.status({ kind: "Warning", busy: true, message });
    this.restartTimer = setTimeout(() => void this.startAgain(), wait);
  }

  private async stopClient(): Promise<void> {
    const client = this.client;
    this.client = undefined;
    // A client that is still starting rejects, but ends its process all the same.
    await client?.dispose(STOP_TIMEOUT_MS).catch((error) => this.log.debug(`Not stopped: ${error}`));
  }
}
