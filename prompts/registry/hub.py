"""A registry in a repository of the Hugging Face Hub: `hf://[datasets/]OWNER/NAME[@REVISION]`."""

from typing import Any

from prompts.errors import RegistryError
from prompts.registry.files import FsspecFiles

ATTEMPTS = 20


class HubFiles(FsspecFiles):
    """Files that are read through the Hub's filesystem and written by commits with a parent.

    The Hub refuses a commit whose parent is no longer the newest, so nothing is overwritten.
    """

    def create(self, files: dict[str, bytes]) -> bool:
        """See `RegistryFiles`: all in one commit."""
        from huggingface_hub import CommitOperationAdd
        from huggingface_hub.errors import HfHubHTTPError

        resolved = self._fs.resolve_path(self._root)
        api: Any = self._fs._api
        repository = {"repo_id": resolved.repo_id, "repo_type": resolved.repo_type}
        paths = {
            f"{resolved.path_in_repo}/{name}".lstrip("/"): data for name, data in files.items()
        }
        last = list(paths)[-1]
        try:
            for _ in range(ATTEMPTS):
                head = api.repo_info(**repository, revision=resolved.revision).sha
                if api.file_exists(filename=last, revision=head, **repository):
                    return False
                added = [
                    CommitOperationAdd(path_in_repo=path, path_or_fileobj=data)
                    for path, data in paths.items()
                ]
                message = f"Add {last}"
                try:
                    api.create_commit(
                        **repository,
                        operations=added,
                        commit_message=message,
                        revision=resolved.revision,
                        parent_commit=head,
                    )
                    return True
                except HfHubHTTPError as error:
                    if error.response.status_code not in (409, 412):
                        raise
        except HfHubHTTPError as error:
            raise RegistryError(
                f"{self._url} could not be written ({error}); check the address and your token."
            ) from error
        raise RegistryError(f"{self._url} was changed by others at every attempt; try again.")
