"""Published models, declared once each."""
