"""What a network says of videos, and how good that is."""
