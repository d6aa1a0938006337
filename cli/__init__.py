"""The `advisor` command: one small module a subcommand."""
