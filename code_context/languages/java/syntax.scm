; Definitions, imports, strings and comments of Java (tree-sitter-java).

(class_declaration name: (identifier) @name body: (class_body) @body) @definition.class
(record_declaration name: (identifier) @name body: (class_body) @body) @definition.class
(interface_declaration name: (identifier) @name body: (interface_body) @body) @definition.class
(enum_declaration name: (identifier) @name body: (enum_body) @body) @definition.class
(annotation_type_declaration name: (identifier) @name body: (_) @body) @definition.class
(method_declaration name: (identifier) @name body: (block) @body) @definition.function
(method_declaration name: (identifier) @name !body) @definition.function
(constructor_declaration name: (identifier) @name body: (constructor_body) @body) @definition.function
(field_declaration declarator: (variable_declarator name: (identifier) @name)) @definition.value
(enum_constant name: (identifier) @name) @definition.value

(import_declaration (scoped_identifier scope: (_) @module name: (identifier) @name) .) @import
(import_declaration (scoped_identifier) @module (asterisk) @name) @import

[(string_literal) (character_literal)] @string
[(line_comment) (block_comment)] @comment
