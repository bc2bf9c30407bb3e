; Definitions, imports, strings and comments of Rust (tree-sitter-rust).

(function_item name: (identifier) @name body: (block) @body) @definition.function
(function_signature_item name: (identifier) @name) @definition.function
(struct_item name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(struct_item name: (type_identifier) @name !body) @definition.value
(struct_item name: (type_identifier) @name body: (ordered_field_declaration_list)) @definition.value
(enum_item name: (type_identifier) @name body: (enum_variant_list) @body) @definition.class
(trait_item name: (type_identifier) @name body: (declaration_list) @body) @definition.class
(impl_item type: [(type_identifier) @name (generic_type type: (type_identifier) @name)]
  body: (declaration_list) @body) @definition.scope
(mod_item name: (identifier) @name body: (declaration_list) @body) @definition.namespace
(enum_variant name: (identifier) @name) @definition.value
(field_declaration name: (field_identifier) @name) @definition.value
(const_item name: (identifier) @name) @definition.value
(static_item name: (identifier) @name) @definition.value
(type_item name: (type_identifier) @name) @definition.value
(macro_definition name: (identifier) @name) @definition.value

(use_declaration argument: (identifier) @module) @import
(use_declaration argument: (scoped_identifier path: (_) @module name: (identifier) @name)) @import
(use_declaration argument: (use_as_clause
  path: (scoped_identifier path: (_) @module name: (identifier) @name) alias: (identifier) @alias)) @import
(use_declaration argument: (scoped_use_list path: (_) @module list: (use_list (identifier) @name))) @import
(use_declaration argument: (use_wildcard (_) @module)) @import

[(string_literal) (raw_string_literal) (char_literal)] @string
[(line_comment) (block_comment)] @comment
