/** The languages that are completed, by their identifiers in VS Code. package.json activates for all of them. */

const ALL_LANGUAGES = [
  "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "rust", "java", "c", "cpp", "csharp",
  "ruby", "php",
];
const DEFAULT_MODEL_LANGUAGES = ["python"];

/** The default model completes Python only; for another model, every language that the server can parse is completed. */
export function completedLanguages(model: string | null): readonly string[] {
  return model === null ? DEFAULT_MODEL_LANGUAGES : ALL_LANGUAGES;
}
