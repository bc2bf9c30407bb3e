"""What starting the server costs."""

import subprocess
import sys


def test_event_loop_never_imports_torch(tmp_path):
    """`initialize` is answered without waiting for torch; only the engine thread loads it."""
    code = (
        "import sys, lsp_server.server as s; s.create_server(); "
        "print({'torch', 'tree_sitter', 'numpy', 'code_model.decoder.session'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", code],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert ran.stdout.strip() == "set()"
