"""A folder of Google Drive as a source of order files: `open` puts it together, `source` decides what is read."""
