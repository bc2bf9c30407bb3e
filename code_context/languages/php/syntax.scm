; Definitions, imports, strings and comments of PHP (tree-sitter-php).

(function_definition name: (name) @name body: (compound_statement) @body) @definition.function
(class_declaration name: (name) @name body: (declaration_list) @body) @definition.class
(interface_declaration name: (name) @name body: (declaration_list) @body) @definition.class
(trait_declaration name: (name) @name body: (declaration_list) @body) @definition.class
(enum_declaration name: (name) @name body: (enum_declaration_list) @body) @definition.class
(method_declaration name: (name) @name body: (compound_statement) @body) @definition.function
(method_declaration name: (name) @name !body) @definition.function
(property_declaration (property_element (variable_name (name) @name))) @definition.value
(const_declaration (const_element . (name) @name)) @definition.value
(enum_case name: (name) @name) @definition.value

(namespace_use_declaration (namespace_use_clause
  (qualified_name prefix: (namespace_name) @module (name) @name))) @import
(require_once_expression (string (string_content) @module)) @import
(require_expression (string (string_content) @module)) @import
(include_expression (string (string_content) @module)) @import

[(string) (encapsed_string) (heredoc) (nowdoc)] @string
(comment) @comment
