"""The pages for people and the support desk: HTML made here, without scripts.

pages      every page, and whose it is                                data
sessions   who is signed in: ids, limits, what is shown once          pure, but for its table
origin     whether a form was sent by a page of ours                  pure
words      states, times and refusals as a person would say them      pure
outlook    how somebody logs in, now and without a device             pure, but for its reading
visit      one request of somebody who is signed in
entrance   sign in, sign out
people     a person's own devices
desk       other people's, for those who help
render     templates, QR codes
app        all of it as one ASGI application
"""
