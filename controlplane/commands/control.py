"""`penstock control`: one control plane, as on a machine of its own."""

from controlplane.commands.options import CONFIG_FILE, ConfigFile, becoming


def control(config: ConfigFile = CONFIG_FILE) -> None:
    """Run one control plane until Ctrl-C; of several the database lets one lead.

    The store is DATABASE_URL_CONTROLPLANE's.
    """
    becoming("controlplane", f"--config={config}")
