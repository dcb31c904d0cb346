"""The embedded server over HTTP: `provision server serve`. Needs the extra `server`, but for the first module.

permissions  every route, and who may take it                         data
messages     what comes in, where it is not a noun of the seam itself
problems     errors <-> status codes
acting       in whose name, and how far
aside        searches beside a seed, in processes of their own
app          the routes
limits       bodies and clients that would take too much
run          sockets, TLS, uvicorn
"""
