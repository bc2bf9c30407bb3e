"""Whether the machine runs on its battery."""

import psutil


def on_battery() -> bool:
    """Whether it does now; False where there is no battery, or where nothing can tell.

    Takes less than a millisecond.
    """
    try:
        # psutil has no such function on some systems, and Linux's files differ by driver
        battery = getattr(psutil, "sensors_battery", lambda: None)()
    except (OSError, RuntimeError, ValueError):
        return False
    return bool(battery is not None and battery.power_plugged is False)
