; Spans of Go that a person would have typed next: what tuning hides.

(function_declaration body: (block) @hole.body)
(method_declaration body: (block) @hole.body)
(func_literal body: (block) @hole.body)
(if_statement consequence: (block) @hole.block)
(if_statement alternative: (block) @hole.block)
(for_statement body: (block) @hole.block)
(short_var_declaration right: (expression_list) @hole.expression)
(assignment_statement right: (expression_list) @hole.expression)
(return_statement (expression_list) @hole.expression)
(argument_list) @hole.arguments
(parameter_list) @hole.arguments
(source_file (_) @hole.statement)
(statement_list (_) @hole.statement)
(field_declaration_list (_) @hole.statement)
