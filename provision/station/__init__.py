"""The station where tokens are programmed and retired: the ledger, and what it takes to come back after a crash."""
