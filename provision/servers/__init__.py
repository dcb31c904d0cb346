"""Authentication servers.

    backend   the seam, and the addresses that name a server
    embedded  our own, in a file
    roles     who may come to it over HTTP
    service   it over HTTP: what listens
    remote    it over HTTP: what asks

Every other module drives one server of somebody else's.
"""
