"""The only layer that reads files: it finds runs, follows their logs and keeps their indexes."""

from runwised.catalog.catalog import Catalog
from runwised.catalog.demo import prepare as prepare_demo
from runwised.catalog.holdings import Project
from runwised.catalog.place import NoProject
from runwised.catalog.readback import Unreadable
from runwised.catalog.slot import IndexLostError

__all__ = ["Catalog", "IndexLostError", "NoProject", "Project", "Unreadable", "prepare_demo"]
