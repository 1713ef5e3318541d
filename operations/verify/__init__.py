"""Verify: the Merkle roots that the ledger keeps of a job, computed again from what is there.

- `places`     where a job's leaves can be read: its sealed parts while its key lives, and its image
- `comparing`  two places held against each other, document by document, so that a difference has a name
- `proving`    every place held against the ledger's roots, and two jobs against each other
"""

from operations.verify.proving import Proof, Verified, VerifyPorts, verify

__all__ = ["Proof", "Verified", "VerifyPorts", "verify"]
