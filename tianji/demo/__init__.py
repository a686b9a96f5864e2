"""Sample data for development, screenshots and browser tests: `manage.py demo`.

Nothing of the product imports this package.
"""
