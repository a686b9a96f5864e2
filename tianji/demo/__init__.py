"""Sample data for development, screenshots and browser tests: `manage.py demo`.

Only `tianji up --demo` and the command itself run it: nothing else in the product imports this package.
"""
