"""Configuration: HCL text to evaluated modules."""

# The folder stands at the top level and is linked into the package. Imported by its bare name it
# would exist twice, with classes that are not each other's instances.
if __name__ != "hythe.modules":
    raise ImportError(f"import this as hythe.modules, not as {__name__}")
