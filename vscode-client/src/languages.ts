/** The languages that the server completes, by their names in VS Code. package.json activates for the same. */

export const COMPLETED = ["python"];
