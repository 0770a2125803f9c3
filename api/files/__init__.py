"""Files of cases and machines: photos, documents, small videos, kept in the database with what they prove."""
