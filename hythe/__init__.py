"""Hythe: declarative provisioner for hosts, VMs and the containers inside them."""

__version__ = "0.1.0"
