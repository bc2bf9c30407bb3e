; What Attune asks of Python's grammar (tree-sitter-python). One capture, one question.

; names whose signatures a cursor inside them should see
(function_definition body: (block) @scope.body) @scope
(class_definition body: (block) @scope.body) @scope

; what the file takes from elsewhere
(import_statement) @import
(import_from_statement) @import
(future_import_statement) @import

; text that is not code
(string) @string
(comment) @comment
