/** The languages that are completed, by their names in VS Code. package.json activates for all of them. */

const ALL = [
  "python", "javascript", "javascriptreact", "typescript", "typescriptreact", "go", "rust", "java", "c", "cpp", "csharp",
  "ruby", "php",
];
const OWN_MODEL = ["python"];

/** The model that Attune brings knows Python alone; another one gets every language that the server can parse. */
export function completedLanguages(model: string | null): readonly string[] {
  return model === null ? OWN_MODEL : ALL;
}
