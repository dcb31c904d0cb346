"""Our own validation server, in one SQLite file: `embedded:FILE`.

    policy      how far it looks, in steps, and how long it waits   pure
    window      which step a code belongs to, if any                pure
    throttle    when the next attempt may come                      pure
    names       what a user, device or serial may be called         pure
    keys        seeds at rest, under a key that is not in the file
    schema      what is in the file, version by version
    storage     the file: transactions, what can go wrong with it
    devices     rows <-> devices and accounts
    people      rows <-> people, and the date of the cut-over
    attempts    what becomes of a code: turned away, accepted or charged
    audit       who, what, when, outcome; never a code or a seed
    api_tokens  what lets a program in over HTTP (servers/service)
    core        the open file, and what every operation upon it needs
    questions   a part of EmbeddedServer: where codes would fit; how often, how far, and the answer
    enrolling   a part of it: people make devices, and prove them
    migrating   a part of it: people move over from an older way in
    rotation    a part of it: another key for the seeds
    backend     EmbeddedServer, of these parts: one transaction an operation
    backup      a copy of a file that is in use
    restore     a backup becomes a server again

What it promises: a step is accepted once per device, also by two processes on one file, also after a crash, after
`delete` and registering the same seed again, and after the server's clock was stepped back (a code for a step that is
not after the last accepted one is refused whatever the clock says, so a clock that ran ahead and was corrected makes
devices wait until it is where it was).
"""
