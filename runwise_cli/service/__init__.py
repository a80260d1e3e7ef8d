"""The daemon as a service of the platform: systemd's user manager, or launchd."""
