"""Who bears a part that was used, and what partners owe for the parts they bought."""
