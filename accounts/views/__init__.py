"""The pages of accounts that are ours; signing in and out is allauth's."""
