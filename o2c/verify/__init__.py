"""The promises that data can show, checked over the stores of all services."""

from o2c.verify.running import OPEN_LETTERS, trial_balance, verify_all
from o2c.verify.verdict import Check, Verdict

__all__ = ["OPEN_LETTERS", "Check", "Verdict", "trial_balance", "verify_all"]
