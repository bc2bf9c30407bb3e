; Spans of PHP that a person would have typed next: what tuning hides.

(function_definition body: (compound_statement) @hole.body)
(method_declaration body: (compound_statement) @hole.body)
(if_statement body: (compound_statement) @hole.block)
(else_clause body: (compound_statement) @hole.block)
(for_statement body: (compound_statement) @hole.block)
(foreach_statement body: (compound_statement) @hole.block)
(while_statement body: (compound_statement) @hole.block)
(assignment_expression right: (_) @hole.expression)
(return_statement (_) @hole.expression)
(arguments) @hole.arguments
(formal_parameters) @hole.arguments
(program (_) @hole.statement)
(compound_statement (_) @hole.statement)
(declaration_list (_) @hole.statement)
