"""Generic code for the control prompt: the standard library of the Python that runs this."""

import sysconfig
from pathlib import Path

from tuning.corpus import SourceFile

# plain, hand-written modules of all kinds; missing ones are left out
MODULES = """
    argparse ast bisect calendar cmd codecs configparser copy csv difflib dis enum fileinput
    fractions ftplib functools getopt gettext glob gzip heapq imaplib inspect ipaddress locale
    mailbox mimetypes netrc optparse pathlib pdb pickle plistlib poplib posixpath pprint queue
    random sched selectors shelve shlex shutil smtplib socket statistics string subprocess
    tarfile tempfile textwrap threading timeit tokenize trace traceback turtle types uuid
    warnings weakref zipfile
""".split()  # noqa: SIM905 (a list would take sixty lines)
MAX_CHARACTERS = 60_000


def sample() -> tuple[SourceFile, ...]:
    """Some modules of the standard library (PSF-2.0), none if it is not there as source."""
    root = Path(sysconfig.get_paths()["stdlib"])
    files = []
    for name in MODULES:
        path = root / f"{name}.py"
        if path.is_file():
            text = path.read_text("utf-8", "replace")[:MAX_CHARACTERS]
            files.append(SourceFile(path.name, text))
    return tuple(files)
