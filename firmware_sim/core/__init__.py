"""The token itself: transition table, PIN policy, credentials, its own HOTP and TOTP, channels. No I/O."""
