"""Adapters: one module per agent framework, each imported only by those who use that framework."""
