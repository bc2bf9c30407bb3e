/** HTML for web views, without scripts: a tagged template that escapes every value. Knows nothing of VS Code. */

const STYLE = `
  body { font-family: var(--vscode-font-family); color: var(--vscode-foreground); max-width: 60em; margin: 2em auto; padding: 0 1em; }
  table { border-collapse: collapse; margin: 1em 0; }
  th, td { padding: 0.3em 0.8em; border-bottom: 1px solid var(--vscode-widget-border, #8888); text-align: right; }
  th:first-child, td:first-child { text-align: left; }
`;
const CONTENT_SECURITY_POLICY = "default-src 'none'; style-src 'unsafe-inline'";

/** Markup that is finished; everything else is text and gets escaped. */
export class Html {
  constructor(readonly markup: string) {}
}

/** The template as markup: texts in it are escaped, `Html` is taken as it is, a list is joined. */
export function html(strings: TemplateStringsArray, ...values: (string | Html | readonly Html[])[]): Html {
  return new Html(String.raw({ raw: strings }, ...values.map(markupOf)));
}

/** A whole page in the colours of the editor's theme. */
export function page(title: string, body: Html): string {
  return html`<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${new Html(CONTENT_SECURITY_POLICY)}">
<title>${title}</title>
<style>${new Html(STYLE)}</style>
</head>
<body>
<h1>${title}</h1>
${body}
</body>
</html>`.markup;
}

export function table(head: readonly string[], rows: readonly (readonly string[])[]): Html {
  const heads = head.map((cell) => html`<th>${cell}</th>`);
  const body = rows.map((row) => html`<tr>${row.map((cell) => html`<td>${cell}</td>`)}</tr>\n`);
  return html`<table><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table>`;
}

function markupOf(value: string | Html | readonly Html[]): string {
  if (value instanceof Html) {
    return value.markup;
  }
  return typeof value === "string" ? escape(value) : value.map(({ markup }) => markup).join("");
}

function escape(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}
