"""What the platform may change about a running agent, and may tell it to do once (docs/remote.md).

`overlay` judges desired settings, `probation` whether they turned out well, `memory` holds what must survive a kill,
`commands` sees to it that none is executed twice; all of them pure. `remote` ties them to the running agent.
"""
