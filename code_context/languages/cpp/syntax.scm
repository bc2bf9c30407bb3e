; Definitions, imports, strings and comments of C++ (tree-sitter-cpp).

(function_definition declarator: (function_declarator
    declarator: [(identifier) @name (field_identifier) @name
                 (qualified_identifier scope: (_) @container name: (identifier) @name)])
  body: (compound_statement) @body) @definition.function
(function_definition declarator: (_ (function_declarator
    declarator: [(identifier) @name (field_identifier) @name
                 (qualified_identifier scope: (_) @container name: (identifier) @name)]))
  body: (compound_statement) @body) @definition.function
(declaration declarator: (function_declarator declarator: (identifier) @name)) @definition.function
(field_declaration declarator: (function_declarator declarator: (field_identifier) @name)) @definition.function
(class_specifier name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(struct_specifier name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(union_specifier name: (type_identifier) @name body: (field_declaration_list) @body) @definition.class
(enum_specifier name: (type_identifier) @name body: (enumerator_list) @body) @definition.class
(namespace_definition name: (_) @name body: (declaration_list) @body) @definition.namespace
(type_definition declarator: (type_identifier) @name) @definition.value
(alias_declaration name: (type_identifier) @name) @definition.value
(field_declaration declarator: (field_identifier) @name) @definition.value
(enumerator name: (identifier) @name) @definition.value
(preproc_def name: (identifier) @name) @definition.value
(preproc_function_def name: (identifier) @name) @definition.value

(preproc_include path: (_) @module) @import
(using_declaration) @import

[(string_literal) (raw_string_literal) (char_literal) (system_lib_string)] @string
(comment) @comment
