"""What an agent makes of SKILL.md: tasks in the words of people, a store each, and what is to be there at the end."""
