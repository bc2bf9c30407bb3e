; Definitions, imports, strings and comments of C# (tree-sitter-c-sharp).

(class_declaration name: (identifier) @name body: (declaration_list) @body) @definition.class
(struct_declaration name: (identifier) @name body: (declaration_list) @body) @definition.class
(record_declaration name: (identifier) @name body: (declaration_list) @body) @definition.class
(interface_declaration name: (identifier) @name body: (declaration_list) @body) @definition.class
(enum_declaration name: (identifier) @name body: (enum_member_declaration_list) @body) @definition.class
(namespace_declaration name: (_) @name body: (declaration_list) @body) @definition.namespace
(method_declaration name: (identifier) @name body: (block) @body) @definition.function
(method_declaration name: (identifier) @name body: (arrow_expression_clause)) @definition.function
(method_declaration name: (identifier) @name !body) @definition.function
(constructor_declaration name: (identifier) @name body: (block) @body) @definition.function
(property_declaration name: (identifier) @name) @definition.value
(field_declaration (variable_declaration (variable_declarator name: (identifier) @name))) @definition.value
(enum_member_declaration name: (identifier) @name) @definition.value

(using_directive [(identifier) (qualified_name)] @module) @import

[(string_literal) (verbatim_string_literal) (raw_string_literal) (interpolated_string_expression)
 (character_literal)] @string
(comment) @comment
