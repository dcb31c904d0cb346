"""The device's side. No code stands here. (PYTEST_DONT_REWRITE: pytest_hwtoken tells why.)"""
