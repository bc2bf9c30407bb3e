; Spans of C++ that a person would have typed next, beside those of C.

(for_range_loop body: (compound_statement) @hole.block)
(declaration_list (_) @hole.statement)
