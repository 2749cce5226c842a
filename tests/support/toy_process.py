"""A service as a process of its own that counts orders: `python -m tests.support.toy_process`, settings as ever."""

from shared.frame.process import run_process
from shared.settings import Settings
from tests.connected.support_engine import counting_service

if __name__ == "__main__":
    run_process([lambda settings: counting_service()], Settings())
