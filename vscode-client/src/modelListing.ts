/** The models that attune lists, to choose from. Knows nothing of VS Code. */

/** One entry of `attune model list --json`. */
interface Model {
  readonly name: string;
  readonly path: string;
  readonly source: string | null;
  readonly engine: string | null;
  readonly device: string | null;
  readonly precision: string | null;
  readonly quantisation: string | null;
  readonly default: boolean;
  readonly serving: boolean;
  readonly problem: string | null;
}

/** The result of `attune model list --json`. */
export interface ModelListing {
  readonly models: readonly Model[];
  readonly serving: { readonly name: string; readonly named_by: "option" | "environment" | "repository" | "user" | "shipped" };
  readonly notices: readonly string[];
}

/** A model in words: its name, what it is and how it is computed, and where its files are or what is wrong with them. */
export interface ListedModel {
  readonly name: string;
  readonly serving: boolean;
  readonly description: string;
  readonly detail: string;
}

/** The models in the order of the listing, the one that serves first. */
export function listedModels({ models }: ModelListing): ListedModel[] {
  const listed = models.map((model) => ({
    name: model.name,
    serving: model.serving,
    description: describe(model),
    detail: model.problem ?? model.source ?? model.path,
  }));
  return [...listed.filter(({ serving }) => serving), ...listed.filter(({ serving }) => !serving)];
}

function describe({ engine, device, precision, quantisation, serving, default: isDefault }: Model): string {
  const computing = [engine, device, precision, quantisation].filter((part) => part !== null).join(" ");
  const parts = [serving ? "serves here" : "", isDefault ? "your default" : "", computing];
  return parts.filter((part) => part !== "").join(", ");
}

/** The arguments of `attune model use`: in the repository at `folder`, or everywhere where that is null. */
export function useArguments(name: string, folder: string | null): string[] {
  return ["model", "use", name, ...(folder === null ? [] : ["--repository", "-C", folder])];
}
