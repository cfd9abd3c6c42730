"""Ways to write a page down; each escapes what it is given, since names and texts come from users' files."""
