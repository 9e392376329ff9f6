"""The `penstock` command, one file a group of commands."""
