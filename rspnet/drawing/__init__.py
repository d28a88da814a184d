"""Drawing of pictures and films from arrays; independent of networks and videos."""
