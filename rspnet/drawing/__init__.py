"""What is drawn; it knows neither networks nor files."""
