"""The paper's tables and figures, each made again by one command.

``python -m examples.paper list`` names them, ``python -m examples.paper run NAME`` makes one,
and ``python -m examples.paper report`` writes the page that sets the paper's claims beside what
was found. A module here is one table or figure; those that begin with an underscore are shared.
"""
