/** The language client: one server process, its protocol, and where its messages go. */

import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import type { LogOutputChannel } from "vscode";
import { CloseAction, ErrorAction, LanguageClient, type Middleware, RevealOutputChannelOn, State } from "vscode-languageclient/node";
import { ALL_LANGUAGES, SCHEMES } from "./languages";
import { didChangeEmptyReason, didChangeStatus, didFindNoGain, type Status } from "./protocol";
import { attuneArguments } from "./serverCommand";
import type { Settings } from "./settings";
import { tracing } from "./tracing";

/** Receives the server's notifications. */
export interface Listener {
  status(status: Status): void;
  /** Why the latest request had an empty answer, as a sentence; null: it had a suggestion. */
  emptyReason(message: string | null): void;
  promptHasNoGain(prompt: string): void;
}

/** `onEnd` is called when the server ends without having been asked to, perhaps more than once. */
export interface ClientEvents {
  readonly listener: Listener;
  readonly onEnd: () => void;
}

/** A client whose failures appear in the log and the status bar, never as a pop-up. */
class QuietClient extends LanguageClient {
  override error(message: string, data?: unknown): void {
    super.error(message, data, false);
  }
}

/** Makes clients that are not started yet, all with the same middleware and log. */
export class ClientFactory {
  /** `folder` is the working directory of the servers. */
  constructor(
    private readonly folder: string,
    private readonly middleware: Middleware,
    private readonly log: LogOutputChannel,
  ) {}

  create(python: string, settings: Settings, { listener, onEnd }: ClientEvents): LanguageClient {
    const args = attuneArguments("serve");
    this.log.info(`Starting ${[python, ...args].join(" ")}`);
    const command = { command: python, args, options: { cwd: this.folder } };
    const client = new QuietClient("attune", "Attune", command, {
      documentSelector: SCHEMES.flatMap((scheme) => ALL_LANGUAGES.map((language) => ({ language, scheme }))),
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
          onEnd();
          return { action: CloseAction.DoNotRestart, handled: true };
        },
      },
    });
    client.onNotification(didChangeStatus, (status) => listener.status(status));
    client.onNotification(didChangeEmptyReason, ({ message }) => listener.emptyReason(message));
    client.onNotification(didFindNoGain, ({ prompt }) => listener.promptHasNoGain(prompt));
    client.onDidChangeState(({ newState }) => {
      if (newState === State.StartFailed) {
        onEnd();
      }
    });
    return client;
  }
}

/** The settings as the server's `initializationOptions`; their defaults are the server's too. */
function serverOptions(settings: Settings): Record<string, unknown> {
  return {
    prompt: settings.promptFile,
    model: settings.model,
    enable: settings.enable,
    trusted: settings.trusted,
    sureness: settings.sureness,
    comparisonShare: settings.comparisonShare,
    statistics: settings.statistics,
  };
}

/** The environment variables of a command of attune, which takes the model of the settings like the server. */
export function environmentFor(settings: Settings): NodeJS.ProcessEnv {
  return settings.model === null ? process.env : { ...process.env, ATTUNE_MODEL: settings.model };
}

/** Each line of the server's log states its own level; the library would call all of them errors. */
function logLines(stream: Readable, log: LogOutputChannel): void {
  createInterface({ input: stream }).on("line", (line) => log.info(line));
}
