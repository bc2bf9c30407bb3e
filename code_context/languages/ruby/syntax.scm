; Definitions, imports, strings and comments of Ruby (tree-sitter-ruby).

(method name: (_) @name body: (body_statement) @body) @definition.function
(method name: (_) @name !body) @definition.function
(singleton_method name: (_) @name body: (body_statement) @body) @definition.function
(class name: (_) @name body: (body_statement) @body) @definition.class
(module name: (_) @name body: (body_statement) @body) @definition.class
(assignment left: (constant) @name) @definition.value

(call method: (identifier) @called arguments: (argument_list (string (string_content) @module))) @import

[(string) (heredoc_body) (regex)] @string
(comment) @comment
