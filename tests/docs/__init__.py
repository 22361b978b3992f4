"""The pages under test: what README.md, SKILL.md and docs/ say is what the commands do."""
