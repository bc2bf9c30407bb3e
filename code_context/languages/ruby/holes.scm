; Spans of Ruby that a person would have typed next: what tuning hides.

(method body: (body_statement) @hole.body)
(if consequence: (then) @hole.block)
(unless consequence: (then) @hole.block)
(while body: (do) @hole.block)
(assignment right: (_) @hole.expression)
(return (argument_list) @hole.expression)
(argument_list) @hole.arguments
(method_parameters) @hole.arguments
(program (_) @hole.statement)
(body_statement (_) @hole.statement)
(then (_) @hole.statement)
