; Definitions, imports, strings and comments of C (tree-sitter-c).

(function_definition declarator: (function_declarator declarator: (identifier) @name)
  body: (compound_statement) @body) @definition.function
(function_definition declarator: (pointer_declarator
    declarator: (function_declarator declarator: (identifier) @name))
  body: (compound_statement) @body) @definition.function
(declaration declarator: (function_declarator declarator: (identifier) @name)) @definition.function
(declaration declarator: (pointer_declarator
  declarator: (function_declarator declarator: (identifier) @name))) @definition.function
(struct_specifier name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(union_specifier name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(enum_specifier name: (type_identifier) @name body: (enumerator_list) @body) @definition.class
(type_definition declarator: (type_identifier) @name) @definition.value
(field_declaration declarator: (field_identifier) @name) @definition.value
(enumerator name: (identifier) @name) @definition.value
(preproc_def name: (identifier) @name) @definition.value
(preproc_function_def name: (identifier) @name) @definition.value

(preproc_include path: (_) @module) @import

[(string_literal) (char_literal) (system_lib_string)] @string
(comment) @comment
