"""The embedded server over HTTP. Needs the extra `server`, but for the first module.

permissions  every route, and who may take it       data
"""
