/** The prompts that a registry lists, to choose from. Knows nothing of VS Code. */

/** One entry of `attune prompt versions --json`; `gain` is a share of bits saved. */
interface Version {
  readonly name: string;
  readonly version: number;
  readonly model: string;
  readonly gain: number | null;
  readonly audited: boolean;
  readonly signed: boolean;
}

/** The result of `attune prompt versions --json`. */
export interface RegistryListing {
  readonly versions: readonly Version[];
}

/** A prompt's name and, in words, its newest version. */
export interface ListedPrompt {
  readonly name: string;
  readonly description: string;
}

/** Each name once, in the order of the listing. */
export function listedPrompts({ versions }: RegistryListing): ListedPrompt[] {
  const newest = new Map<string, Version>();
  for (const entry of versions) {
    if (entry.version >= (newest.get(entry.name)?.version ?? 0)) {
      newest.set(entry.name, entry);
    }
  }
  return [...newest.values()].map((entry) => ({ name: entry.name, description: describe(entry) }));
}

function describe({ version, model, gain, audited, signed }: Version): string {
  const parts = [
    `version ${version} for ${model}`,
    gain === null ? "gain unknown" : `saves ${(100 * gain).toFixed(1)} % of the bits`,
    ...(audited ? ["audited"] : []),
    ...(signed ? ["signed"] : []),
  ];
  return parts.join(", ");
}
