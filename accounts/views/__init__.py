"""The pages for setup and workspace settings; sign-in and sign-out belong to allauth."""
