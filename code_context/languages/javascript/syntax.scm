; Definitions, imports, strings and comments of JavaScript (tree-sitter-javascript).

(function_declaration name: (identifier) @name body: (statement_block) @body) @definition.function
(generator_function_declaration name: (identifier) @name body: (statement_block) @body) @definition.function
(class_declaration name: (identifier) @name body: (class_body) @body) @definition.class
(method_definition name: (_) @name body: (statement_block) @body) @definition.function
(field_definition property: (property_identifier) @name) @definition.value
(lexical_declaration (variable_declarator name: (identifier) @name
  value: [(arrow_function body: (statement_block) @body)
          (function_expression body: (statement_block) @body)])) @definition.function
(program (lexical_declaration (variable_declarator name: (identifier) @name)) @definition.value)
(program (export_statement
  (lexical_declaration (variable_declarator name: (identifier) @name)) @definition.value))

(import_statement (import_clause (identifier) @name) source: (string) @module) @import
(import_statement (import_clause (named_imports (import_specifier name: (identifier) @name !alias)))
  source: (string) @module) @import
(import_statement (import_clause (named_imports
  (import_specifier name: (identifier) @name alias: (identifier) @alias)))
  source: (string) @module) @import
(import_statement (import_clause (namespace_import (identifier) @alias)) source: (string) @module) @import
(import_statement . source: (string) @module) @import
(lexical_declaration (variable_declarator name: (identifier) @alias
  value: (call_expression function: (identifier) @called arguments: (arguments (string) @module)))) @import
(export_statement (export_clause (export_specifier name: (identifier) @name))
  source: (string) @module) @import

[(string) (template_string) (regex)] @string
(comment) @comment
