"""What a person decided about rows, and the data corrected by it.

=================== ==============================================================
`read_decisions`     a `decisions.csv`, as the report page saves it, as a DataFrame
`apply_decisions`    rows dropped and labels replaced as decided
`to_label_studio`    suggestions as tasks of Label Studio, with their predictions
`from_label_studio`  annotated tasks of Label Studio as decisions
=================== ==============================================================
"""

from ._decisions import apply_decisions, read_decisions
from ._label_studio import from_label_studio, to_label_studio

__all__ = [
    "apply_decisions",
    "from_label_studio",
    "read_decisions",
    "to_label_studio",
]
