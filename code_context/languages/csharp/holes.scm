; Spans of C# that a person would have typed next: what tuning hides.

(method_declaration body: (block) @hole.body)
(constructor_declaration body: (block) @hole.body)
(if_statement consequence: (block) @hole.block)
(if_statement alternative: (block) @hole.block)
(for_statement body: (block) @hole.block)
(foreach_statement body: (block) @hole.block)
(while_statement body: (block) @hole.block)
(assignment_expression right: (_) @hole.expression)
(return_statement (_) @hole.expression)
(argument_list) @hole.arguments
(parameter_list) @hole.arguments
(compilation_unit (_) @hole.statement)
(block (_) @hole.statement)
(declaration_list (_) @hole.statement)
