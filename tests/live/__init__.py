"""Tests against real OpenClaw gateways, in temporary state directories."""
