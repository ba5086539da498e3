"""skfi inside other packages' loops: scikit-activeml (`.skactiveml`) and modAL (`.modal`).

Each module is imported by its own name, so that neither package is needed for the other.
"""
