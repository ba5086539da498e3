"""skfi with other packages: scikit-activeml (`.skactiveml`) and Dask (`.dask`).

Each module is imported by its own name, so that neither package is needed for the other.
"""
