; Spans of JavaScript that a person would have typed next: what tuning hides.

(function_declaration body: (statement_block) @hole.body)
(method_definition body: (statement_block) @hole.body)
(arrow_function body: (statement_block) @hole.body)
(if_statement consequence: (statement_block) @hole.block)
(else_clause (statement_block) @hole.block)
(for_statement body: (statement_block) @hole.block)
(for_in_statement body: (statement_block) @hole.block)
(while_statement body: (statement_block) @hole.block)
(variable_declarator value: (_) @hole.expression)
(assignment_expression right: (_) @hole.expression)
(pair value: (_) @hole.expression)
(return_statement (_) @hole.expression)
(arguments) @hole.arguments
(formal_parameters) @hole.arguments
(program (_) @hole.statement)
(statement_block (_) @hole.statement)
(class_body (_) @hole.statement)
