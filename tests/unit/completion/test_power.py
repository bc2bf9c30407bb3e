"""On the battery or not, by what psutil says on each kind of machine."""

from types import SimpleNamespace

import psutil
import pytest

from completion.power import on_battery


@pytest.mark.parametrize(
    ("battery", "expected"),
    [
        (SimpleNamespace(power_plugged=False), True),
        (SimpleNamespace(power_plugged=True), False),
        (SimpleNamespace(power_plugged=None), False),  # unknown
        (None, False),  # a desktop
    ],
)
def test_what_the_battery_says(monkeypatch, battery, expected: bool) -> None:
    monkeypatch.setattr(psutil, "sensors_battery", lambda: battery, raising=False)
    assert on_battery() is expected


def test_a_system_that_cannot_tell_is_not_on_the_battery(monkeypatch) -> None:
    def failing() -> None:
        raise FileNotFoundError

    monkeypatch.setattr(psutil, "sensors_battery", failing, raising=False)
    assert not on_battery()
    monkeypatch.delattr(psutil, "sensors_battery")
    assert not on_battery()
