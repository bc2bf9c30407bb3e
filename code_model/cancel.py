"""A flag that stops a computation, also inside the compiled step; it imports nothing heavy."""

import ctypes


class StepCancelledError(Exception):
    """A step ended early, and its tokens are not in the cache."""


class Cancel:
    """Raised by any thread, once; called, it says whether it was."""

    def __init__(self) -> None:
        self._raised = ctypes.c_int32(0)
        self.address = ctypes.addressof(self._raised)
        """Of the number that is not 0 when raised."""

    def set(self) -> None:
        """Raise the flag."""
        self._raised.value = 1

    def __call__(self) -> bool:
        """Whether to stop."""
        return self._raised.value != 0
