"""Reconciling: open work that no record stands for any more is found and done again, from what staging keeps.

Records go missing when a topic is truncated or a broker loses its disk; and when the ledger is restored to an earlier
moment, the stages have read past records that it knows nothing of. Nobody but the ledger knows what is to be done,
and nobody but the broker what is left of it, so the two are compared:

- `looking`  what the topics still hold for each stage, each topic read once;
- `mending`  what one job lacks: its documents admitted again, its completion announced again;
- `reconciling`  all jobs, and what only the upstream can send again.

It may run while the stages do, and as often as anybody likes: what it takes for lost by mistake is done twice under the
same ids, and so counts once.
"""

from operations.reconcile.mending import Mended
from operations.reconcile.ports import Bench
from operations.reconcile.reconciling import Reconciled, reconcile

__all__ = ["Bench", "Mended", "Reconciled", "reconcile"]
