"""Starting the server imports nothing heavy."""

import subprocess
import sys


def test_event_loop_never_imports_torch(tmp_path):
    """`initialize` is answered without waiting for torch; only the worker thread imports it."""
    code = (
        "import sys, lsp_server.server as s; s.create_server(); "
        "print({'torch', 'tree_sitter', 'numpy', 'code_model.decoder.session'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert result.stdout.strip() == "set()"
