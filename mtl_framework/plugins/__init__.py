"""The hooks that plugins implement, and how plugins are found and checked."""
