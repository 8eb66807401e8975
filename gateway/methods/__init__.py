"""How a scope is forgotten: one file a method, each with its configuration, files, plans and learning."""
