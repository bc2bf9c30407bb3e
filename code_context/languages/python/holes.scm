; Spans of Python that a person would have typed next: what tuning and pretraining hide.

(function_definition body: (block) @hole.body)
(_ consequence: (block) @hole.block)
(for_statement body: (block) @hole.block)
(while_statement body: (block) @hole.block)
(with_statement body: (block) @hole.block)
(else_clause body: (block) @hole.block)
(assignment right: (_) @hole.expression)
(return_statement (_) @hole.expression)
(keyword_argument value: (_) @hole.expression)
(call arguments: (argument_list) @hole.arguments)
(parameters) @hole.arguments
(module (_) @hole.statement)
(block (_) @hole.statement)
