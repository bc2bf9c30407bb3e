; Spans of C++ that a person would have typed next: what tuning hides.

(function_definition body: (compound_statement) @hole.body)
(if_statement consequence: (compound_statement) @hole.block)
(else_clause (compound_statement) @hole.block)
(for_statement body: (compound_statement) @hole.block)
(while_statement body: (compound_statement) @hole.block)
(init_declarator value: (_) @hole.expression)
(assignment_expression right: (_) @hole.expression)
(return_statement (_) @hole.expression)
(argument_list) @hole.arguments
(parameter_list) @hole.arguments
(translation_unit (_) @hole.statement)
(compound_statement (_) @hole.statement)
(field_declaration_list (_) @hole.statement)
(for_range_loop body: (compound_statement) @hole.block)
(declaration_list (_) @hole.statement)
