"""The operator's commands, a file for each group; `o2c.main` puts them together."""
