; Spans of TypeScript that a person would have typed next, beside those of JavaScript.

(interface_body (_) @hole.statement)
