"""The design room: a call and its data become a Design, built once and replayed on new data."""
