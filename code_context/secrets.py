"""Whether a text seems to hold a secret, by the token formats that detect-secrets knows.

Its detectors of high entropy and of names like `password` are left out: in source code they mostly
find hashes, fixtures and parameters. Nothing is verified over a network.
"""

import re
from functools import cache
from importlib import import_module
from typing import Any

DETECTORS = {
    "aws": "AWSKeyDetector",
    "azure_storage_key": "AzureStorageKeyDetector",
    "discord": "DiscordBotTokenDetector",
    "github_token": "GitHubTokenDetector",
    "gitlab_token": "GitLabTokenDetector",
    "jwt": "JwtTokenDetector",
    "mailchimp": "MailchimpDetector",
    "npm": "NpmDetector",
    "openai": "OpenAIDetector",
    "private_key": "PrivateKeyDetector",
    "pypi_token": "PypiTokenDetector",
    "sendgrid": "SendGridDetector",
    "slack": "SlackDetector",
    "square_oauth": "SquareOAuthDetector",
    "stripe": "StripeDetector",
    "telegram_token": "TelegramBotTokenDetector",
    "twilio": "TwilioKeyDetector",
}
# every format above has a run this long with a digit in it, or these words
SUSPICIOUS = re.compile(r"[A-Za-z0-9_+/=:-]{20,}|PRIVATE KEY")
DIGIT = re.compile(r"[0-9]|PRIVATE KEY")


def secret_in(text: str) -> str | None:
    """What kind of secret a text seems to hold, None if it seems to hold none."""
    seen = -1
    for match in SUSPICIOUS.finditer(text):
        if not DIGIT.search(match[0]):
            continue
        start = text.rfind("\n", 0, match.start()) + 1
        if start == seen:
            continue
        seen = start
        end = text.find("\n", match.end())
        line = text[start : len(text) if end < 0 else end]
        for detector in _detectors():
            if any(True for _ in detector.analyze_string(line)):
                return str(detector.secret_type)
    return None


@cache
def _detectors() -> tuple[Any, ...]:
    return tuple(
        getattr(import_module(f"detect_secrets.plugins.{module}"), name)()
        for module, name in DETECTORS.items()
    )
