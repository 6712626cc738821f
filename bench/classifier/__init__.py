"""The model as attacks see it, its weights and layers, and how a reduced network is built again."""
