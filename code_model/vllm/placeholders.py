"""How a request names a prompt that lies on the server: placeholder ids and a salt.

A request begins with one placeholder id for each virtual token, so that vLLM gives them places in
its cache. The ids follow from the digest of the prompt's file, and the salt, which vLLM hashes with
the first block, is the digest itself. So blocks of one prompt are never taken for those of another
or of a text, and nobody gets a prompt whose digest he does not know. Imports nothing heavy.
"""

import hashlib

SALT = "attune:"
CONNECTOR = "PromptConnector"
MODULE = "code_model.vllm.kv_connector"


def placeholder_ids(sha256: str, count: int, vocabulary_size: int) -> list[int]:
    """The ids that stand for the virtual tokens of the prompt file with this digest (hex)."""
    blocks = (
        hashlib.sha256(f"{SALT}{sha256}:{number}".encode()).digest() for number in range(count)
    )
    return [int.from_bytes(block[:8], "big") % vocabulary_size for block in blocks]


def salt_of(sha256: str) -> str:
    """The `cache_salt` of requests behind the prompt with this digest."""
    return SALT + sha256


def prompt_of_salt(salt: str | None) -> str | None:
    """The digest in a salt; None if a request is behind no prompt."""
    if salt is None or not salt.startswith(SALT):
        return None
    return salt.removeprefix(SALT)
