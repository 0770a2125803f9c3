"""Assets by the thousand: sheets in and out, line by line judged, all or nothing."""
