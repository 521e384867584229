"""Planner: from configuration, state and reality to a plan, and from a plan to a changed world."""

# The folder stands at the top level and is linked into the package. Imported by its bare name it
# would exist twice, with classes that are not each other's instances.
if __name__ != "hythe.planner":
    raise ImportError(f"import this as hythe.planner, not as {__name__}")
