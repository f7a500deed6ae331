"""The local stack: every part of the platform as a child of one supervisor (DESIGN §6).

`plan` says which parts there are and how each is started, `supervisor` keeps them running,
`guard` cleans up should the supervisor itself be killed, `state` is what a second terminal reads.
"""
