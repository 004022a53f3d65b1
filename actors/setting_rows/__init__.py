"""The rows of the table of settings: one module per group, with the defaults of its rows. Pure.

`actors.settings_table` puts them together. A default is written here and nowhere else. Nothing heavy is imported, since
`loop --help` reads all rows.
"""
