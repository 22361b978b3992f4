"""Makes the folder and the archive that are published as a skill: `make skill`."""
