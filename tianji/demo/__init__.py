"""Sample data for development, screenshots and browser tests: `manage.py demo`.

Only `tianji up --demo` and the command itself run it: nothing of the product imports this package.
"""
