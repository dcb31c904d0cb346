"""What passed on a wire, as a pcapng file that may be sent to anybody: docs/CAPTURE.md.

pcapng.py and linktypes.py are the file; shown.py says what is known to be harmless, and the mask_ modules replace
everything else; recorder.py puts them together. Both programs write their captures with this package.
"""
