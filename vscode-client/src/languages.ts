/** The languages that are completed, by their identifiers in VS Code. package.json activates for all of them. */

export const ALL_LANGUAGES: readonly string[] = [
  "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "rust", "java", "c", "cpp", "csharp",
  "ruby", "php",
];
/** Files, drafts that have no file yet, and cells of notebooks, each of which is a document of its own. */
export const SCHEMES: readonly string[] = ["file", "untitled", "vscode-notebook-cell"];
const SHIPPED_MODEL_LANGUAGES = ["python"];
const SHIPPED = "shipped";

/** Whether a model, by its name in `attune model list`, is the small one that Attune brings; so it is where none is known. */
export function isShippedModel(model: string | null): boolean {
  return model === null || model === SHIPPED;
}

/** The shipped model completes Python only; for another model, every language that the server can parse is completed. */
export function completedLanguages(model: string | null): readonly string[] {
  return isShippedModel(model) ? SHIPPED_MODEL_LANGUAGES : ALL_LANGUAGES;
}
