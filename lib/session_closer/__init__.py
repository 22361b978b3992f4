"""Close OpenClaw sessions safely."""

__version__ = "0.1.0"
