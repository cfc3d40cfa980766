"""Jobs: fine-tuning and data sets, stored in a database, run in processes of their own, survived by what they know.

A request becomes a row (`intake`), a supervisor claims it under a lease (`claims`), a runner starts its process
(`runner`: `local_runner` or `ray_runner`), whose events are taken from its folder (`folder`) into the database
(`store`), from where clients read and follow them (`following`). What the process made is published once (`work`).
"""
