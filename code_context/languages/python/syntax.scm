; Definitions, imports, strings and comments of Python (tree-sitter-python).

; names that other code uses, and bodies whose signatures a cursor inside them should see
(function_definition name: (identifier) @name body: (block) @body) @definition.function
(class_definition name: (identifier) @name body: (block) @body) @definition.class
(module (expression_statement (assignment left: (identifier) @name) @definition.value))
(class_definition body: (block (expression_statement (assignment left: (identifier) @name) @definition.value)))

; what the file takes from elsewhere
(import_statement name: (dotted_name) @module) @import
(import_statement name: (aliased_import name: (dotted_name) @module alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @module name: (dotted_name) @name) @import
(import_from_statement module_name: (_) @module
  name: (aliased_import name: (dotted_name) @name alias: (identifier) @alias)) @import
(import_from_statement module_name: (_) @module (wildcard_import) @name) @import
(future_import_statement) @import

; text that is not code
(string) @string
(comment) @comment
