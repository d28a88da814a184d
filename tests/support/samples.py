"""The shared sample videos that are not ok."""

BAD_SAMPLES = {
    "awkward/audio_only.mp4": "no_video",
    "awkward/audio_only.wav": "no_video",
    "awkward/corrupt_middle.mp4": "corrupt",
    "awkward/random_bytes.mp4": "broken",
    "awkward/text_file.avi": "broken",
    "awkward/truncated_faststart.mp4": "truncated",
    "awkward/truncated_half.avi": "truncated",
    "awkward/truncated_header.avi": "broken",
    "awkward/truncated_no_moov.mp4": "broken",
    "awkward/zero_bytes.avi": "empty",
    "awkward/zero_bytes.mp4": "empty",
}
"""File -> status, by what it holds (described in samples.tsv). All others are ok, one of which has a single frame."""
SINGLE_FRAME = "awkward/h264_1frame.mp4"
