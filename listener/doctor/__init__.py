"""`listener doctor`: the whole chain looked at, from the settings to ShipStation, and what mends it.

findings      what a finding is
seen          what is looked at, as values; `store` fills most of them
server, sessions, schema, tables, steering, work, outside
              what each of them means: pure functions from what was seen to findings
neighbours    the looks that are not SQL: sessions, LISTEN, ShipStation, the status page, the folder
checks        the table of checks: what is looked at, and who judges it
examination   runs them, each for a limited time, and never raises
report        findings as text, as JSON, and as SQL for psql
"""
