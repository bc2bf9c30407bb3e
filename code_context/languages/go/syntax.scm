; Definitions, imports, strings and comments of Go (tree-sitter-go).

(function_declaration name: (identifier) @name body: (block) @body) @definition.function
(method_declaration receiver: (parameter_list (parameter_declaration type: [
    (type_identifier) @container (pointer_type (type_identifier) @container)]))
  name: (field_identifier) @name body: (block) @body) @definition.function
(type_declaration (type_spec name: (type_identifier) @name
  type: (struct_type (field_declaration_list) @body))) @definition.class
(type_declaration (type_spec name: (type_identifier) @name type: (interface_type) @body)) @definition.class
(type_declaration (type_spec name: (type_identifier) @name)) @definition.value
(field_declaration name: (field_identifier) @name) @definition.value
(method_elem name: (field_identifier) @name) @definition.function
(source_file (const_declaration (const_spec name: (identifier) @name) @definition.value))
(source_file (var_declaration (var_spec name: (identifier) @name) @definition.value))

(import_spec !name path: (_) @module) @import
(import_spec name: (package_identifier) @alias path: (_) @module) @import
(import_spec name: (dot) path: (_) @module) @import

[(interpreted_string_literal) (raw_string_literal) (rune_literal)] @string
(comment) @comment
