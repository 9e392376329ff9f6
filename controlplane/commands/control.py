"""`penstock control`: one control plane, as on a machine of its own."""

from controlplane.commands.options import CONFIG_FILE, ConfigFile, becoming


def control(config: ConfigFile = CONFIG_FILE) -> None:
    """Run one control plane until it is told to stop: of several the database lets one lead.

    It reaches the store by DATABASE_URL_CONTROLPLANE.
    """
    becoming("controlplane", f"--config={config}")
