/** What a registry has to choose from. Knows nothing of VS Code. */

/** One line of `attune prompt versions --json`; `gain` is a share of bits saved. */
interface Version {
  readonly name: string;
  readonly version: number;
  readonly model: string;
  readonly gain: number | null;
  readonly audited: boolean;
  readonly signed: boolean;
}

/** A name with what is known of its newest version, in words. */
export interface Offer {
  readonly name: string;
  readonly description: string;
}

/** The names that `attune prompt versions --json` lists, in its order; none if it said something else. */
export function offersOf(stdout: string): Offer[] {
  let versions: Version[];
  try {
    versions = (JSON.parse(stdout) as { versions: Version[] }).versions;
  } catch {
    return [];
  }
  const newest = new Map<string, Version>();
  for (const one of versions) {
    if (one.version >= (newest.get(one.name)?.version ?? 0)) {
      newest.set(one.name, one);
    }
  }
  return [...newest.values()].map(({ name, version, model, gain, audited, signed }) => {
    const told = [
      `version ${version} for ${model}`,
      gain === null ? "gain unknown" : `saves ${(100 * gain).toFixed(1)} % of the bits`,
      ...(audited ? ["audited"] : []),
      ...(signed ? ["signed"] : []),
    ];
    return { name, description: told.join(", ") };
  });
}
