/** The model that answers, as the server's latest status names it. */

let serving: string | null = null;

/** The name of the model in `attune model list`, or its path; null: not known yet. */
export function servingModel(): string | null {
  return serving;
}

/** A status without a model, as while one loads, changes nothing. */
export function setServingModel(model: string | null | undefined): void {
  serving = model ?? serving;
}
