"""State: what Hythe made, recorded so that nothing is lost."""

# The folder stands at the top level and is linked into the package. Imported by its bare name it
# would exist twice, with classes that are not each other's instances.
if __name__ != "hythe.state":
    raise ImportError(f"import this as hythe.state, not as {__name__}")
