"""Authentication servers.

    backend   the seam, and the addresses that name a server
    plain     nouns of the seam <-> JSON
    ways      which way in a person has, while an older one is still open    pure
    embedded  our own, in a file
    roles     who may come to it over HTTP
    service   it over HTTP: what listens
    web       its pages, for people
    remote    it over HTTP: what asks

Whoever adds a server of somebody else's adds a module, and a line to backend.BACKENDS.
"""
