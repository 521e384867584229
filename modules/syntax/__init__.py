"""HCL text to a syntax tree with source ranges."""
