"""Why somebody's codes are refused: one cause, named from what a support desk can see and ask, or none.

    case          what is known of the person, the devices and the codes; what comes out
    codes         whose the codes are, and where they fit
    clock         what became of this token's clock: it drifts, it jumped, or neither can be told
    refusals      was it the clock, or whoever typed, at the times when codes were refused?
    crowd         has the server's clock moved? Then everybody's token seems to have
    server_clock  the same, of the token and of the clock that the station has
    judge         the order in which causes are looked at
    advice        what to do now, and for good

A wrong name costs a person a token, a day or the trust in the desk; "undecided" costs one more question. So a cause is
named only where what was seen excludes the others that are known, and "undecided" says what would decide.
"""
