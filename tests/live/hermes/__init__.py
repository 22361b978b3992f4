"""The promises of the Hermes runtime, held against the real hermes-agent of two versions."""
