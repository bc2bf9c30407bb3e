; Spans of Java that a person would have typed next: what tuning hides.

(method_declaration body: (block) @hole.body)
(constructor_declaration body: (constructor_body) @hole.body)
(if_statement consequence: (block) @hole.block)
(if_statement alternative: (block) @hole.block)
(for_statement body: (block) @hole.block)
(enhanced_for_statement body: (block) @hole.block)
(while_statement body: (block) @hole.block)
(variable_declarator value: (_) @hole.expression)
(assignment_expression right: (_) @hole.expression)
(return_statement (_) @hole.expression)
(argument_list) @hole.arguments
(formal_parameters) @hole.arguments
(program (_) @hole.statement)
(block (_) @hole.statement)
(constructor_body (_) @hole.statement)
(class_body (_) @hole.statement)
(interface_body (_) @hole.statement)
