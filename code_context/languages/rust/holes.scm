; Spans of Rust that a person would have typed next: what tuning hides.

(function_item body: (block) @hole.body)
(if_expression consequence: (block) @hole.block)
(else_clause (block) @hole.block)
(for_expression body: (block) @hole.block)
(while_expression body: (block) @hole.block)
(loop_expression body: (block) @hole.block)
(let_declaration value: (_) @hole.expression)
(assignment_expression right: (_) @hole.expression)
(match_arm value: (_) @hole.expression)
(arguments) @hole.arguments
(parameters) @hole.arguments
(source_file (_) @hole.statement)
(block (_) @hole.statement)
(declaration_list (_) @hole.statement)
(field_declaration_list (_) @hole.statement)
