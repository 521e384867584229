"""Providers: the kinds, and the only code that talks to engines and hypervisors."""

# The folder stands at the top level and is linked into the package. Imported by its bare name it
# would exist twice, with classes that are not each other's instances.
if __name__ != "hythe.provider":
    raise ImportError(f"import this as hythe.provider, not as {__name__}")
