"""The gateway of one state directory: find it, talk to it, restart it."""
