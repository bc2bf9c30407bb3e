; Definitions, imports, strings and comments of TypeScript (tree-sitter-typescript), of TSX too.

(function_declaration name: (identifier) @name body: (statement_block) @body) @definition.function
(generator_function_declaration name: (identifier) @name body: (statement_block) @body) @definition.function
(function_signature name: (identifier) @name) @definition.function
(class_declaration name: (type_identifier) @name body: (class_body) @body) @definition.class
(abstract_class_declaration name: (type_identifier) @name body: (class_body) @body) @definition.class
(interface_declaration name: (type_identifier) @name body: (interface_body) @body) @definition.class
(enum_declaration name: (identifier) @name body: (enum_body) @body) @definition.class
(internal_module name: (_) @name body: (statement_block) @body) @definition.namespace
(type_alias_declaration name: (type_identifier) @name) @definition.value
(method_definition name: (_) @name body: (statement_block) @body) @definition.function
(method_signature name: (_) @name) @definition.function
(abstract_method_signature name: (_) @name) @definition.function
(property_signature name: (_) @name) @definition.value
(public_field_definition name: (_) @name) @definition.value
(enum_body name: (property_identifier) @name @definition.value)
(enum_assignment name: (property_identifier) @name) @definition.value
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
(export_statement (export_clause (export_specifier name: (identifier) @name))
  source: (string) @module) @import

[(string) (template_string) (regex)] @string
(comment) @comment
