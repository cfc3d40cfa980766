"""Labelled data sets of any size, drawn from a model package and written to files.

A plan says which rows there are and cuts them into parts; each part is drawn, encoded and written by itself, by any
worker, in any order, always to the same bytes. A journal remembers which parts are on the disk, so that a run that was
killed goes on where it was. No torch is needed; filters that look at images come from whoever calls `synthesize`.
"""
